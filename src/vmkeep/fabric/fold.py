"""Folding one layer of a disk into the file right below it, under a running VM or a VM that is off."""

from collections.abc import Callable
from xml.etree import ElementTree as ET

import libvirt
import structlog

from vmkeep.base.clock import Clock
from vmkeep.fabric import qemu_img
from vmkeep.fabric.chain import Chain, Fold, above, block_indexes, format_of, paths, read_chain, same
from vmkeep.fabric.domain_xml import attribute, parse, unparse
from vmkeep.fabric.errors import DiskBusy, MergeIncomplete, VmSaved
from vmkeep.fabric.host import Connection, Domain, translated
from vmkeep.fabric.pace import Pace
from vmkeep.model.machine import DiskFormat

log = structlog.get_logger()

POLL_S = 0.05
_COMMITS = {libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_COMMIT, libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT}


Tick = Callable[[int, int], None]
"""Hears bytes done and bytes in all, a few times a second; may raise to stop."""


def disk_element(root: ET.Element, name: str) -> ET.Element | None:
    """Return the `<disk>` with that target, or None."""
    return next((d for d in root.findall("devices/disk") if attribute(d, "target", "dev") == name), None)


def active_chain(domain: Domain, disk: str) -> Chain:
    """Return the chain of files a VM's disk is on now; empty when the VM has no such disk.

    Raises DiskVanished, ImageUnreadable, VmVanished, HypervisorUnreachable.
    """
    with translated("read the VM's definition", vm_uuid=domain.UUIDString()):
        element, runs = disk_element(parse(domain.XMLDesc()), disk), domain.isActive()
    if element is None or not attribute(element, "source", "file"):
        return ()
    image_format = DiskFormat(attribute(element, "driver", "type"))
    on_disk = read_chain(same(attribute(element, "source", "file")), image_format, disk=disk)
    named = tuple(reversed(block_indexes(element)))
    if not runs or set(named) <= set(paths(on_disk)):
        return on_disk
    # QEMU was told of files that the images themselves no longer name: it has them open all the same
    known = {image.path: image for image in on_disk}
    return tuple(known.get(path) or read_chain(path, DiskFormat.QCOW2, disk=disk)[-1] for path in named)


def fold(
    connection: Connection, domain: Domain, work: Fold, *, clock: Clock, tick: Tick, mib_s: int = 0
) -> None:
    """Fold a layer that is in the VM's chain right above `work.lower`; safe to do again after any interruption.

    `mib_s` limits the copying under a running VM, in MiB per second; 0 is as fast as it goes.

    Raises DiskBusy, VmSaved, MergeIncomplete, ImageUnreadable, VmVanished, HypervisorUnreachable, HypervisorRefused,
    and whatever `tick` raises.
    """
    with translated(f"merge {work.upper}", vm_uuid=domain.UUIDString()):
        chain = active_chain(domain, work.disk)
        if domain.isActive():
            _fold_live(domain, work, clock, tick, mib_s)
            shrunk = _shrunk_size(chain, work)
            if shrunk and work.upper == chain[-1].path:
                domain.blockResize(work.disk, shrunk, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
        elif domain.hasManagedSaveImage():
            raise VmSaved(domain.name())
        else:
            fold_files(chain, work, tick=tick)
        leave_out(connection, domain, work, format_of(chain, work.lower))
        if work.upper in paths(active_chain(domain, work.disk)):
            raise MergeIncomplete(domain.name(), work.upper)
    log.info("fabric.layer.merged", vm=domain.name(), disk=work.disk, layer=work.upper)


def fold_files(chain: Chain, work: Fold, *, tick: Tick) -> None:
    """Fold a layer of a chain that no VM has open: QEMU's own file locks refuse otherwise."""
    shrunk = _shrunk_size(chain, work)
    if shrunk:
        arguments = ["resize", "-q", "--shrink", "-f", format_of(chain, work.lower), work.lower, str(shrunk)]
        qemu_img.run(arguments, path=work.lower)
    qemu_img.commit(work.upper, work.lower, tick=lambda: tick(0, 0))
    next_layer = above(paths(chain), work.upper)
    if next_layer is not None:
        lower_format = format_of(chain, work.lower)
        arguments = ["rebase", "-u", "-f", "qcow2", "-b", work.lower, "-F", lower_format, next_layer]
        qemu_img.run(arguments, path=next_layer)


def _shrunk_size(chain: Chain, work: Fold) -> int:
    """Return the disk's size in bytes when the layer was made smaller than the file below it, else 0."""
    sizes = {image.path: image.size_bytes for image in chain}
    return sizes[work.upper] if sizes[work.upper] < sizes[work.lower] else 0


def _fold_live(domain: Domain, work: Fold, clock: Clock, tick: Tick, mib_s: int) -> None:
    _end_leftover_job(domain, work, clock)
    disk = disk_element(parse(domain.XMLDesc()), work.disk)
    if disk is None:
        raise MergeIncomplete(domain.name(), work.upper)
    indexes = block_indexes(disk)
    active = same(attribute(disk, "source", "file")) == work.upper
    base, top = (f"{work.disk}[{indexes[path]}]" for path in (work.lower, work.upper))
    flags = libvirt.VIR_DOMAIN_BLOCK_COMMIT_ACTIVE if active else 0
    domain.blockCommit(work.disk, base, None if active else top, mib_s, flags)
    pace = Pace(mib_s, clock.monotonic()) if active and mib_s else None
    try:
        _await_job(domain, work, clock, tick, until_ready=active, pace=pace)
    except BaseException:
        _abort(domain, work)
        raise
    if active:
        domain.blockJobAbort(work.disk, libvirt.VIR_DOMAIN_BLOCK_JOB_ABORT_PIVOT)


def _await_job(
    domain: Domain, work: Fold, clock: Clock, tick: Tick, *, until_ready: bool, pace: Pace | None
) -> None:
    """Return when the job is gone, or when it is ready to pivot."""
    while info := domain.blockJobInfo(work.disk, 0):
        tick(info["cur"], info["end"])
        faster = pace and pace.find_faster(info["end"] - info["cur"], clock.monotonic())
        if faster:
            log.info("fabric.merge.faster", vm=domain.name(), disk=work.disk, mib_s=faster)
            domain.blockJobSetSpeed(work.disk, faster, 0)
        if until_ready and info["cur"] == info["end"] and _mirror_is_ready(domain, work.disk):
            return
        clock.sleep(POLL_S)


def _mirror_is_ready(domain: Domain, disk: str) -> bool:
    element = disk_element(parse(domain.XMLDesc()), disk)
    return element is not None and attribute(element, "mirror", "ready") == "yes"


def _end_leftover_job(domain: Domain, work: Fold, clock: Clock) -> None:
    """Abort a commit that an earlier service left behind; another kind of job belongs to somebody else."""
    info = domain.blockJobInfo(work.disk, 0)
    if info and info["type"] not in _COMMITS:
        raise DiskBusy(domain.name(), work.disk, f"type {info['type']}")
    if info:
        log.info("fabric.layer.leftover_job", vm=domain.name(), disk=work.disk)
        _abort(domain, work)
    while domain.blockJobInfo(work.disk, 0):
        clock.sleep(POLL_S)


def _abort(domain: Domain, work: Fold) -> None:
    try:
        domain.blockJobAbort(work.disk, 0)
    except libvirt.libvirtError as error:  # the VM went off, and its job with it
        log.info("fabric.layer.no_job_to_abort", vm=domain.name(), disk=work.disk, error=str(error))


def leave_out(connection: Connection, domain: Domain, work: Fold, lower_format: DiskFormat) -> None:
    """See to it that the VM's next start does not look for `work.upper`.

    libvirt has done so itself under a running VM. A VM that is off and was started meanwhile keeps `work.upper`.
    """
    before = name_at_next_start(
        connection, domain, work.disk, old=work.upper, new=work.lower, image_format=lower_format
    )
    if before and domain.isActive() and work.upper in paths(active_chain(domain, work.disk)):
        connection.defineXML(before)


def name_at_next_start(
    connection: Connection,
    domain: Domain,
    disk: str,
    *,
    old: str,
    new: str,
    image_format: DiskFormat = DiskFormat.QCOW2,
) -> str:
    """Have the VM's next start use the file `new` instead of `old`; return the definition before, if changed.

    A definition may also name what is below the first file. That is left out: the files themselves name it.
    """
    if not domain.isPersistent():
        return ""
    before = str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE))
    element = disk_element(parse(before), disk)
    if element is None or old not in block_indexes(element):
        return ""
    path, used_format = attribute(element, "source", "file"), attribute(element, "driver", "type")
    after = (new, image_format) if same(path) == old else (path, DiskFormat(used_format))
    connection.defineXML(_with_source(before, disk, *after))
    return before


def _with_source(xml: str, disk: str, path: str, image_format: DiskFormat) -> str:
    root = parse(xml)
    element = disk_element(root, disk)
    assert element is not None  # noqa: S101 - the chain was read from it
    for child, name, value in (("source", "file", path), ("driver", "type", image_format)):
        found = element.find(child)
        assert found is not None  # noqa: S101 - disks without them are not captured
        found.set(name, value)
    for stale in element.findall("backingStore"):
        element.remove(stale)
    return unparse(root)
