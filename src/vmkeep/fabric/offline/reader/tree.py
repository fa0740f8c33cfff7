"""The guest's tree of files: its root file system, with the others where its fstab puts them. Symlinks stay within it."""

import stat
from collections import deque
from collections.abc import Sequence
from typing import Any

from vmkeep.fabric.offline.reader.volumes import FAILURES, Volume

MOST_LINKS = 40
LONGEST_PATH = 4096
_FSTAB_LIMIT = 1 << 20
Place = tuple[str, ...]
"""The parts of an absolute path."""
_SIGNS = ("/etc/os-release", "/usr/lib/os-release")


class Refused(Exception):
    """A request that cannot be answered; `kind` is for the program on the other side."""

    def __init__(self, kind: str, why: str) -> None:
        super().__init__(why)
        self.kind = kind


class Tree:
    """All files of a guest, by absolute path."""

    def __init__(self, root: Volume) -> None:
        self._mounts: dict[Place, Volume] = {(): root}

    def mount(self, volume: Volume, path: str) -> None:
        """Put a volume into the tree; of two at the same place the first stays."""
        place = tuple(part for part in path.split("/") if part)
        if place not in self._mounts:
            self._mounts[place] = volume
            volume.mounted_at = path

    def find(self, path: str, *, follow: bool = True) -> Any | None:  # the library's entry
        """Return what is at a path, or None; with `follow`, a symlink at its end too is followed. Raises Refused."""
        if len(path) > LONGEST_PATH:
            raise Refused("path-unfit", "the path is too long")
        stack: list[tuple[Place, Any]] = [((), self._entry(()))]
        parts, links = deque(path.split("/")), 0
        while parts:
            part = parts.popleft()
            if part in {"", "."}:
                continue
            if part == "..":
                stack = stack[:-1] or stack
                continue
            place = (*stack[-1][0], part)
            entry = self._entry(place) if stat.S_ISDIR(stack[-1][1].file_mode) else None
            if entry is None:
                return None
            if stat.S_ISLNK(entry.file_mode) and (follow or any(parts)):
                links += 1
                target = entry.symbolic_link_target or ""
                if links > MOST_LINKS or len(target) > LONGEST_PATH:
                    raise Refused("path-unfit", "its symlinks go round in circles")
                parts.extendleft(reversed(target.split("/")))
                stack = stack[:1] if target.startswith("/") else stack
            else:
                stack.append((place, entry))
        return stack[-1][1]

    def _entry(self, place: Place) -> Any | None:  # the library's entry
        """Return what is at a place that no symlink leads through; looked up in the volume that is mounted there."""
        depth = next(depth for depth in range(len(place), -1, -1) if place[:depth] in self._mounts)
        volume = self._mounts[place[:depth]]
        if depth == len(place):
            return volume.root
        return volume.library.get_file_entry_by_path("/" + "/".join(place[depth:]))


def build_tree(volumes: Sequence[Volume]) -> Tree:
    """Return the tree of the only operating system on the volumes. Raises Refused."""
    readable = [volume for volume in volumes if volume.root is not None]
    roots = [volume for volume in readable if any(_has(volume, sign) for sign in _SIGNS)]
    if len(roots) != 1:
        names = ", ".join(f"{volume.name} ({volume.kind})" for volume in (roots or volumes)) or "nothing"
        why = "several file systems hold an operating system" if roots else "none holds an operating system"
        raise Refused("no-system", f"{why}: {names}")
    roots[0].mounted_at = "/"
    tree = Tree(roots[0])
    for device, place in _fstab(tree):
        named = [volume for volume in readable if device in volume.names and volume is not roots[0]]
        if len(named) == 1:
            tree.mount(named[0], place)
    return tree


def _has(volume: Volume, sign: str) -> bool:
    try:
        return Tree(volume).find(sign) is not None
    except (Refused, *FAILURES):
        return False


def _fstab(tree: Tree) -> list[tuple[str, str]]:
    """Return device and place of each line of /etc/fstab, the shorter places first."""
    entry = tree.find("/etc/fstab")
    if entry is None or not stat.S_ISREG(entry.file_mode) or not entry.size:
        return []
    text = entry.read_buffer_at_offset(min(entry.size, _FSTAB_LIMIT), 0).decode("utf-8", "replace")
    lines = [line.split() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    named = [(_named(line[0]), line[1]) for line in lines if len(line) > 1 and line[1].startswith("/")]
    return sorted(named, key=lambda line: line[1].count("/"))


def _named(device: str) -> str:
    """Return a device as the volumes' names spell it."""
    for folder, prefix in (("by-uuid", "UUID="), ("by-label", "LABEL="), ("by-partuuid", "PARTUUID=")):
        device = device.replace(f"/dev/disk/{folder}/", prefix)
    name, equals, value = device.partition("=")
    value = value.strip('"')
    return f"{name}{equals}{value.lower() if name.endswith('UUID') else value}"
