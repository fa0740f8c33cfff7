"""Which file systems to freeze, and in which order."""

import os

FREEZABLE = ("ext3", "ext4", "xfs", "btrfs")


class Mount:
    """One file system on a block device, and a place where it can be reached."""

    def __init__(self, point: str, device: str, kind: str) -> None:
        self.point = point
        self.device = device
        """`major:minor`, as the kernel prints it."""
        self.kind = kind

    @property
    def printable(self) -> str:
        """The mount point fit for JSON, whatever bytes its name is made of."""
        return os.fsencode(self.point).decode("utf-8", "replace")

    def open(self) -> int:
        """Return a descriptor on the file system itself. Raises OSError, also when another one hides it."""
        descriptor = os.open(self.point, os.O_RDONLY | os.O_NONBLOCK)
        number = os.fstat(descriptor).st_dev
        seen = "{}:{}".format(os.major(number), os.minor(number))
        # btrfs gives each subvolume a device number of its own, so there it proves nothing.
        if self.kind != "btrfs" and seen != self.device:
            os.close(descriptor)
            raise OSError(0, "another file system is mounted over it")
        return descriptor

    def used_bytes(self) -> int:
        """Return how many bytes the file system holds. Raises OSError."""
        figures = os.statvfs(self.point)
        return (figures.f_blocks - figures.f_bfree) * figures.f_frsize


def to_freeze(mountinfo: bytes, skipped: "set[str]") -> "list[Mount]":
    """Return the mounts to freeze, in freezing order: each device once, latest mounted first, the root last.

    `mountinfo` is the text of `/proc/self/mountinfo`. Read-only and loop-mounted file systems and mount points
    in `skipped` are left out: the first cannot change, the second would wait for their own backing file's
    file system.
    """
    found = {}  # type: dict[str, Mount]
    for mount in _visible(mountinfo):
        if mount.point == "/" or mount.device not in found:
            found[mount.device] = mount
    chosen = [mount for mount in found.values() if mount.point not in skipped]
    chosen.reverse()
    return sorted(chosen, key=lambda mount: mount.point == "/")


def _visible(mountinfo: bytes) -> "list[Mount]":
    """Return the freezable mounts in mount order, those that nothing is mounted over before those that hide."""
    parsed = [_parse(line) for line in mountinfo.splitlines()]
    top = {mount.point: mount for mount in parsed}
    freezable = [mount for mount in parsed if mount.kind in FREEZABLE]
    return sorted(freezable, key=lambda mount: top[mount.point] is not mount)


def _parse(line: bytes) -> Mount:
    """Read one line; its fields are described in proc(5). What must not be frozen comes back with kind ``."""
    before, _, after = line.partition(b" - ")
    _, _, device, _, point = before.split()[:5]
    kind, source, options = after.split()[:3]
    freezable = b"ro" not in options.split(b",") and not source.startswith(b"/dev/loop")
    return Mount(_unescape(point), device.decode(), kind.decode() if freezable else "")


def _unescape(point: bytes) -> str:
    """Undo the kernel's octal escapes of space, tab, newline and backslash."""
    for code in (b"\\040", b"\\011", b"\\012", b"\\134"):
        point = point.replace(code, bytes([int(code[1:], 8)]))
    return os.fsdecode(point)
