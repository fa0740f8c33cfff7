"""Comparing the journal with what is really on the host."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vmkeep.base.errors import VmkeepError
from vmkeep.fabric.chain import is_layer, paths, same
from vmkeep.fabric.domain_xml import captured_disks, parse
from vmkeep.fabric.fold import active_chain
from vmkeep.fabric.host import Domain, Host, translated
from vmkeep.fabric.points import PointJournal, PointRecord, PointState, stamp
from vmkeep.model.restore_point import Warned


@dataclass(frozen=True, slots=True)
class Checker:
    """Looks only; whatever it finds is reported, not mended."""

    host: Host
    journal: PointJournal

    def check(self) -> list[Warned]:
        """Return what does not fit: unfinished work, files that vanished or were written to, orphan layers."""
        records = [record for vm in self.journal.list_vms() for record in self.journal.read(vm).values()]
        chains = [chain for domain in self.host.list_domains() for chain in self._chains(domain)]
        found = [warned for record in records for warned in _check_record(record)]
        used = {path for chain in chains for path in chain} | _recorded(records)
        return found + [
            Warned("OrphanLayer", f"{path} is a layer that no VM and no restore point uses")
            for path in sorted(_layers_beside(used) - used)
        ]

    def _chains(self, domain: Domain) -> Iterator[tuple[str, ...]]:
        with translated("read the VM's definition", vm_uuid=domain.UUIDString()):
            disks = captured_disks(parse(domain.XMLDesc()))
        for _lun, disk in disks:
            try:
                yield paths(active_chain(domain, disk.target))
            except VmkeepError:
                yield (same(disk.path),)


def _recorded(records: list[PointRecord]) -> set[str]:
    return {
        path for record in records for disk in record.point.disks for path in (*disk.chain, disk.active_path)
    }


def _layers_beside(used: set[str]) -> set[str]:
    folders = {Path(path).parent for path in used}
    return {
        str(file) for folder in folders if folder.is_dir() for file in folder.iterdir() if is_layer(str(file))
    }


def _check_record(record: PointRecord) -> Iterator[Warned]:
    point = record.point
    name = f"restore point {point.id} of VM '{point.vm_name}'"
    if record.state is not PointState.COMPLETE:
        yield Warned("UnfinishedRestorePoint", f"{name} is unfinished ({record.state})")
    for path in sorted({path for disk in point.disks for path in disk.chain}):
        if not Path(path).exists():
            yield Warned("DiskVanished", f"{name} cannot be read: {path} does not exist")
    for path, seen in record.stamps.items():
        if (
            seen and Path(path).exists() and stamp(path) != seen
        ):  # unseen: it was away when the point was made
            yield Warned(
                "FrozenLayerWritten", f"{name} may be damaged: {path} was written to after it was frozen"
            )
