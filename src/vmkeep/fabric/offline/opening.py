"""Which disks a guest's files are read from: its own while it is off, else those of a restore point."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from vmkeep.base.clock import Clock
from vmkeep.fabric.chain import paths, read_chain
from vmkeep.fabric.offline.errors import DiskChangedMeanwhile
from vmkeep.fabric.offline.files import OfflineFiles, reading_offline
from vmkeep.fabric.points import stamp
from vmkeep.fabric.sources import DiskSet, FrozenDisk
from vmkeep.model.machine import VirtualMachine
from vmkeep.model.restore_point import RestorePoint


@contextmanager
def reading_point(point: RestorePoint, disks: DiskSet, clock: Clock) -> Iterator[OfflineFiles]:
    """Read the files of a restore point, whose disks are closed with the context."""
    origin = f"restore point {point.id}"
    with (
        disks,
        reading_offline(
            disks.disks, vm=point.vm_name, origin=origin, moment=point.time, clock=clock
        ) as files,
    ):
        yield files


@contextmanager
def reading_machine(vm: VirtualMachine, clock: Clock) -> Iterator[OfflineFiles]:
    """Read the files of a VM that is off. Raises DiskChangedMeanwhile when somebody writes to its disks meanwhile."""
    with ExitStack() as held:
        disks, read = [], list[str]()
        for disk in vm.disks:
            chain = read_chain(disk.path, disk.format, disk=disk.name)
            read += paths(chain)
            disks.append(FrozenDisk(disk.name, chain, chain))
            held.callback(disks[-1].close)
        before = [stamp(path) for path in read]

        def confirm() -> None:
            _confirm_unwritten(vm.name, read, before)

        origin = "disks of the VM, which is off"
        moment = clock.now()
        with reading_offline(
            disks, vm=vm.name, origin=origin, moment=moment, clock=clock, confirm=confirm
        ) as files:
            yield files


def _confirm_unwritten(vm: str, read: Sequence[str], before: Sequence[str]) -> None:
    for path, seen in zip(read, before, strict=True):
        if stamp(path) != seen:
            raise DiskChangedMeanwhile(vm, path)
