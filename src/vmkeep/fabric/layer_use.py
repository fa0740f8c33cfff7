"""Who uses a layer's file: asked before anything is done to a file that may be the only copy of somebody's data."""

import fcntl
import os
import struct
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import libvirt
import structlog

from vmkeep.base.clock import Clock
from vmkeep.base.errors import VmkeepError
from vmkeep.fabric.chain import Chain, Image, block_indexes, paths
from vmkeep.fabric.domain_xml import list_disks, parse
from vmkeep.fabric.encryption_errors import DiskKeyMissing
from vmkeep.fabric.errors import ImageUnreadable, LayerInUse, VmVanished
from vmkeep.fabric.extents import map_images
from vmkeep.fabric.fold import POLL_S, active_chain, name_at_next_start
from vmkeep.fabric.host import Domain, Host, translated
from vmkeep.fabric.points import PointRecord
from vmkeep.model.machine import DiskFormat

log = structlog.get_logger()

_FLOCK = struct.Struct("hhqqi4x")
"""struct flock of Linux on 64-bit machines: type, whence, start, length, process."""
_QEMU_LOCKS = (100, 200)
"""First byte and number of the bytes on which every QEMU tool says what it does to an image (block/file-posix.c)."""
_LET_GO_S = 2.0
"""How long QEMU may take to close a layer that libvirt has just stopped to name; it is milliseconds."""
_ANY_SIZE = 1 << 62
_QCOW2_START = struct.Struct(">4s32xIQ")
"""Magic, then at 36 the number of entries of the first-level table and its offset (QEMU's docs/interop/qcow2.txt)."""
_QCOW2_MAGIC = b"QFI\xfb"


@dataclass(frozen=True, slots=True)
class LayerUser:
    """A VM's disk whose chain a layer is in."""

    domain: Domain
    disk: str
    chain: Chain


def find_user(host: Host, path: str) -> LayerUser | None:
    """Return the VM's disk that needs a file, or None. Raises HypervisorUnreachable."""
    for domain in host.list_domains():
        with suppress(VmVanished):
            for disk, chain in readable_chains(domain):
                if path in paths(chain):
                    return LayerUser(domain, disk, chain)
    return None


def readable_chains(domain: Domain) -> Iterator[tuple[str, Chain]]:
    """Yield the chain of each of a VM's disks, as far as they can be read."""
    with translated("read the VM's definition", vm_uuid=domain.UUIDString()):
        disks = [disk for disk in list_disks(parse(domain.XMLDesc())) if disk.path]
    for disk in disks:
        try:
            yield disk.target, active_chain(domain, disk.target)
        except (VmkeepError, ValueError) as error:  # gone, damaged, or of a format that is never captured
            log.info("fabric.chain.unreadable", vm=domain.name(), disk=disk.target, why=str(error))


def is_open(path: str) -> bool:
    """Whether a QEMU, or one of its tools, has an image open, be it only to read what is below another."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        start, length = _QEMU_LOCKS
        asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, start, length, 0)
        found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, asked)
    except OSError as error:  # a file system without locks: QEMU has none there either
        log.debug("fabric.layer.no_locks", path=path, error=str(error))
        return False
    finally:
        os.close(descriptor)
    return bool(_FLOCK.unpack(found)[0] != fcntl.F_UNLCK)


def _stays_open(path: str, clock: Clock) -> bool:
    """Whether an image is open for longer than QEMU takes to close it."""
    end = clock.monotonic() + _LET_GO_S
    while is_open(path):
        if clock.monotonic() > end:
            return True
        clock.sleep(POLL_S)
    return False


def is_empty_layer(path: str) -> bool:
    """Whether nothing was ever written to a layer, or there is none; what cannot be read counts as written."""
    if not Path(path).exists() or Path(path).stat().st_size == 0 or _has_no_tables(path):
        return True
    try:
        return len(map_images([Image(path, DiskFormat.QCOW2, 0)], size_bytes=_ANY_SIZE)) == 0
    except (ImageUnreadable, DiskKeyMissing):
        return False


def _has_no_tables(path: str) -> bool:
    """Whether a qcow2's first-level table is empty: so is the image then, which needs no key to be seen."""
    with Path(path).open("rb") as file:
        magic, entries, offset = _QCOW2_START.unpack(
            file.read(_QCOW2_START.size).ljust(_QCOW2_START.size, b"\0")
        )
        file.seek(offset)
        return bool(magic == _QCOW2_MAGIC and not any(file.read(entries * 8)))


def remove_layer(path: str, clock: Clock) -> None:
    """Delete a layer's file, if it is there. Raises LayerInUse when some QEMU keeps it open all the same."""
    if _stays_open(path, clock):
        raise LayerInUse(path)
    Path(path).unlink(missing_ok=True)


def refuse_unnamed_layers(host: Host, domain: Domain, records: Iterable[PointRecord], clock: Clock) -> None:
    """Raise LayerInUse when a QEMU uses a layer of the VM that libvirt names nowhere.

    So it is when libvirtd was killed between QEMU's switch to new layers and writing that down. To libvirt the VM is
    still on the frozen file: it would start it from there, and all that was written since would be lost. Its next
    start is made to name the layer.
    """
    if not domain.isActive():
        return
    disks = [disk for record in records for disk in record.point.disks if is_open(disk.active_path)]
    named = set(_named_files(host)) if disks else set()
    unnamed = [
        disk for disk in disks if disk.active_path not in named and _stays_open(disk.active_path, clock)
    ]
    for disk in unnamed:
        name_at_next_start(host.connection(), domain, disk.name, old=disk.path, new=disk.active_path)
    if unnamed:
        raise LayerInUse(unnamed[0].active_path)


def _named_files(host: Host) -> Iterator[str]:
    """Yield every file that libvirt knows a running VM to use."""
    for domain in host.list_domains(running=True):
        with suppress(libvirt.libvirtError):  # stopped meanwhile
            for disk in parse(domain.XMLDesc()).findall("devices/disk"):
                yield from block_indexes(disk)
