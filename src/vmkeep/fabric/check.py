"""Comparing the journal with what is really on the host."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import libvirt

from vmkeep.fabric.chain import block_indexes, is_layer, paths, same
from vmkeep.fabric.domain_xml import list_disks, parse
from vmkeep.fabric.errors import JournalUnreadable, VmVanished
from vmkeep.fabric.host import Domain, Host, translated
from vmkeep.fabric.layer_use import is_empty_layer, is_open, readable_chains
from vmkeep.fabric.points import PointJournal, PointRecord, PointState, written_files
from vmkeep.model.restore_point import Warned


@dataclass(frozen=True, slots=True)
class Checker:
    """Looks only; whatever it finds is reported, not mended."""

    host: Host
    journal: PointJournal

    def check(self) -> list[Warned]:
        """Return what does not fit: unfinished work, files that vanished or were written to, orphan layers."""
        found: list[Warned] = []
        used: set[str] = set()
        for vm_uuid in self.journal.list_vms():
            try:
                records, folding = list(self.journal.read(vm_uuid).values()), self.journal.folding(vm_uuid)
            except JournalUnreadable as error:
                found.append(Warned(error.code, str(error)))
                continue
            used |= _recorded(records)
            found += [warned for record in records for warned in _check_record(record.unstamped(folding))]
        for domain in self.host.list_domains():
            named: set[str] = set()
            with suppress(VmVanished):
                named.update(_named_files(domain))
            used |= named
            found += [
                Warned("DiskVanished", f"VM '{domain.name()}' cannot start: {path} does not exist")
                for path in sorted(named)
                if is_layer(path) and not Path(path).exists()
            ]
        return found + [_orphan(path) for path in sorted(_layers_beside(used) - used)]


def _named_files(domain: Domain) -> Iterator[str]:
    """Yield every file that a VM uses, or would use at its next start."""
    with translated("read the VM's definition", vm_uuid=domain.UUIDString()):
        now, next_start = (parse(domain.XMLDesc(flags)) for flags in (0, libvirt.VIR_DOMAIN_XML_INACTIVE))
    for root in (now, next_start):
        yield from (same(disk.path) for disk in list_disks(root) if disk.path)
        for disk in root.findall("devices/disk"):
            yield from block_indexes(disk)
    for _disk, chain in readable_chains(domain):
        yield from paths(chain)


def _recorded(records: list[PointRecord]) -> set[str]:
    return {
        path for record in records for disk in record.point.disks for path in (*disk.chain, disk.active_path)
    }


def _layers_beside(used: set[str]) -> set[str]:
    folders = {Path(path).parent for path in used}
    return {
        str(file) for folder in folders if folder.is_dir() for file in folder.iterdir() if is_layer(str(file))
    }


def _orphan(path: str) -> Warned:
    """Return what to say of a layer nobody needs: it may be the last copy of what a disk held."""
    what = f"{path} is a layer that no VM and no restore point uses"
    if is_open(path):
        return Warned("OrphanLayer", f"{what}, and yet a QEMU has it open: do not touch it")
    if is_empty_layer(path):
        return Warned("OrphanLayer", f"{what}; it holds no data and can be deleted")
    return Warned("OrphanLayer", f"{what}; delete it if nobody wants what was written to it")


def _check_record(record: PointRecord) -> Iterator[Warned]:
    point = record.point
    name = f"restore point {point.id} of VM '{point.vm_name}'"
    if record.state is not PointState.COMPLETE:
        yield Warned("UnfinishedRestorePoint", f"{name} is unfinished ({record.state})")
    for path in sorted({path for disk in point.disks for path in disk.chain}):
        if not Path(path).exists():
            yield Warned("DiskVanished", f"{name} cannot be read: {path} does not exist")
    for path in written_files(record, record.stamps) if record.state is PointState.COMPLETE else ():
        if Path(path).exists():
            yield Warned(
                "FrozenLayerWritten", f"{name} is damaged: {path} was written to after it was frozen"
            )
