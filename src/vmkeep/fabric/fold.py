"""Folding one layer of a disk into the file right below it, under a running VM or a VM that is off."""

import json
from collections.abc import Callable

import libvirt
import structlog

from vmkeep.base.clock import Clock
from vmkeep.fabric import qemu_img
from vmkeep.fabric.chain import Chain, Fold, Image, above, block_indexes, format_of, paths, read_chain, same
from vmkeep.fabric.definition import name_chain
from vmkeep.fabric.domain_xml import attribute, disk_element, disk_format, find_encryption, parse, unparse
from vmkeep.fabric.errors import DiskBusy, MergeIncomplete, VmSaved
from vmkeep.fabric.extents import image_spec
from vmkeep.fabric.host import Connection, Domain, translated
from vmkeep.fabric.pace import Pace
from vmkeep.model.machine import DiskFormat

log = structlog.get_logger()

POLL_S = 0.05
_COMMITS = {libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_COMMIT, libvirt.VIR_DOMAIN_BLOCK_JOB_TYPE_ACTIVE_COMMIT}


Tick = Callable[[int, int], None]
"""Hears bytes done and bytes in all, a few times a second; may raise to stop."""


def active_chain(domain: Domain, disk: str) -> Chain:
    """Return the chain of files a VM's disk is on now; empty when the VM has no such disk.

    Raises DiskVanished, ImageUnreadable, VmVanished, HypervisorUnreachable.
    """
    with translated("read the VM's definition", vm_uuid=domain.UUIDString()):
        element, runs = disk_element(parse(domain.XMLDesc()), disk), domain.isActive()
    if element is None or not attribute(element, "source", "file"):
        return ()
    image_format = DiskFormat(disk_format(element))
    on_disk = read_chain(same(attribute(element, "source", "file")), image_format, disk=disk)
    named = tuple(reversed(block_indexes(element)))
    if not runs or set(named) <= set(paths(on_disk)):
        return on_disk
    # QEMU was told of files that the images themselves no longer name: it has them open all the same
    known = {image.path: image for image in on_disk}
    return tuple(known.get(path) or read_chain(path, DiskFormat.QCOW2, disk=disk)[-1] for path in named)


def fold(
    connection: Connection,
    domain: Domain,
    work: Fold,
    *,
    clock: Clock,
    tick: Tick,
    mib_s: int = 0,
    key: str | None = None,
) -> None:
    """Fold a layer that is in the VM's chain right above `work.lower`; safe to do again after any interruption.

    `mib_s` limits the copying under a running VM, in MiB per second; 0 is as fast as it goes. `key` opens the files
    of an encrypted disk whose VM is off.

    Raises DiskBusy, VmSaved, MergeIncomplete, DiskKeyMissing, DiskKeyWrong, ImageUnreadable, VmVanished,
    HypervisorUnreachable, HypervisorRefused, and whatever `tick` raises.
    """
    with translated(f"merge {work.upper}", vm_uuid=domain.UUIDString()):
        if domain.isActive():
            _end_leftover_job(domain, work, clock)
        chain = active_chain(domain, work.disk)
        if work.upper in paths(chain):  # else the job of an earlier service came to its end by itself
            _fold(domain, chain, work, clock=clock, tick=tick, mib_s=mib_s, key=key)
        leave_out(connection, domain, work, format_of(chain, work.lower))
        if work.upper in paths(active_chain(domain, work.disk)):
            raise MergeIncomplete(domain.name(), work.upper)
    log.info("fabric.layer.merged", vm=domain.name(), disk=work.disk, layer=work.upper)


def _fold(
    domain: Domain, chain: Chain, work: Fold, *, clock: Clock, tick: Tick, mib_s: int, key: str | None
) -> None:
    if domain.isActive():
        _fold_live(domain, work, clock, tick, mib_s)
        shrunk = _shrunk_size(chain, work)
        if shrunk and work.upper == chain[-1].path:
            domain.blockResize(work.disk, shrunk, libvirt.VIR_DOMAIN_BLOCK_RESIZE_BYTES)
    elif domain.hasManagedSaveImage():
        raise VmSaved(domain.name())
    else:
        fold_files(chain, work, tick=tick, key=key)


def fold_files(chain: Chain, work: Fold, *, tick: Tick, key: str | None = None) -> None:
    """Fold a layer of a chain that no VM has open: QEMU's own file locks refuse otherwise. Raises as `qemu_img.run`."""
    shrunk, at = _shrunk_size(chain, work), paths(chain).index(work.upper)
    if shrunk:
        resize = ["resize", "-q", "--shrink", *_as_argument(chain[:at]), str(shrunk)]
        qemu_img.run(resize, path=work.lower, key=key)
    layer = _as_argument(chain[: at + 1])
    if not _is_encrypted(chain[: at + 1]):
        layer = ["-b", work.lower, *layer]
    qemu_img.commit(layer, path=work.upper, key=key, tick=lambda: tick(0, 0))
    next_layer = above(paths(chain), work.upper)
    if next_layer is not None:
        rebase = ["rebase", "-u", "-b", work.lower, "-F", format_of(chain, work.lower)]
        qemu_img.run([*rebase, *_as_argument(chain[at + 1 : at + 2], whole=False)], path=next_layer, key=key)


def _is_encrypted(images: Chain) -> bool:
    return any(image.encrypted for image in images)


def _as_argument(images: Chain, *, whole: bool = True) -> list[str]:
    """Name the newest of some images to qemu-img; encrypted ones only with all that they stand on.

    What is not `whole` is to be opened without its backing files.
    """
    if _is_encrypted(images):
        return [f"json:{json.dumps(image_spec(images, whole=whole))}"]
    return ["-f", images[-1].format, images[-1].path]


def _shrunk_size(chain: Chain, work: Fold) -> int:
    """Return the disk's size in bytes when the layer was made smaller than the file below it, else 0."""
    sizes = {image.path: image.size_bytes for image in chain}
    return sizes[work.upper] if sizes[work.upper] < sizes[work.lower] else 0


def _fold_live(domain: Domain, work: Fold, clock: Clock, tick: Tick, mib_s: int) -> None:
    disk = disk_element(parse(domain.XMLDesc()), work.disk)
    indexes = block_indexes(disk) if disk is not None else {}
    if disk is None or not {work.lower, work.upper} <= set(indexes):
        raise MergeIncomplete(domain.name(), work.upper)
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
    root = parse(before)
    element = disk_element(root, disk)
    if element is None or old not in block_indexes(element):
        return ""
    path, used_format = attribute(element, "source", "file"), disk_format(element)
    after = (new, image_format) if same(path) == old else (path, DiskFormat(used_format))
    encrypted = find_encryption(element) is not None
    name_chain(element, read_chain(*after, disk=disk) if encrypted else (Image(*after, size_bytes=0),))
    connection.defineXML(unparse(root))
    return before
