"""Restore a recovery point: as a new VM, or as disk files. What fails or is cancelled leaves nothing behind."""

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from vmkeep.base.errors import VmkeepError
from vmkeep.model.job import JobOperation, TaskName, TaskStatus
from vmkeep.model.machine import DiskFormat, VirtualMachine
from vmkeep.model.protection import ProtectedItem, RecoveryPoint, Tier
from vmkeep.workflows.disk_keys import open_keys
from vmkeep.workflows.errors import TargetTaken, VmNameTaken
from vmkeep.workflows.job_run import JobRun, StepFailed
from vmkeep.workflows.journal import Arguments, Json
from vmkeep.workflows.pillars import Pillars
from vmkeep.workflows.ports import FabricPort
from vmkeep.workflows.restored_disks import choose_disks, file_name, open_point, write_disks
from vmkeep.workflows.staging import Staging

_CHECK = "Check target"
_PUT_IN_PLACE = "Put in place"


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which disks of which recovery point, and how."""

    item: ProtectedItem
    point: RecoveryPoint
    disk_format: DiskFormat = DiskFormat.QCOW2
    disk_names: tuple[str, ...] | None = None
    """None: all."""
    tier: Tier | None = None
    """None: the instant tier, or the vault when there is none."""


class RestoreDisks:
    """The workflow: disks of a recovery point become files of a folder."""

    operation = JobOperation.RESTORE
    tasks: tuple[TaskName, ...] = (TaskName.TRANSFER_BACK,)

    def __init__(self, pillars: Pillars) -> None:
        self._pillars = pillars

    def conduct(self, run: JobRun, arguments: Arguments) -> None:
        """Do the job; raises StepFailed."""
        item, point = _subject(self._pillars, run, arguments)
        names = arguments["disks"]
        wanted = Wanted(
            item, point, DiskFormat(arguments["format"]), names and tuple(names), tier=_tier(arguments)
        )
        staging = self._staging(run, arguments)
        run.step(_CHECK, lambda: self._check(wanted, staging.parent))
        run.step(TaskName.TRANSFER_BACK, lambda: _transfer_back(self._pillars, run, wanted, staging))
        run.step(_PUT_IN_PLACE, staging.release)

    def undo(self, run: JobRun, arguments: Arguments, failure: StepFailed) -> None:  # noqa: ARG002 - one undo for all
        """Remove what was written."""
        staging = self._staging(run, arguments)
        staging.take_back()
        if arguments["makes_folder"]:
            with suppress(OSError):  # it was never made, or somebody has put something there meanwhile
                staging.parent.rmdir()

    def after(self, run: JobRun) -> None:
        """Nothing is left to do."""

    def _check(self, wanted: Wanted, folder: Path) -> Json:
        with open_point(self._pillars, wanted.item, wanted.point, wanted.tier) as opened:
            chosen = choose_disks(wanted.point, opened.disks, wanted.disk_names)
        for path in (folder / file_name(disk.name, wanted.disk_format) for disk in chosen):
            if path.exists():
                raise TargetTaken(path=str(path))

    def _staging(self, run: JobRun, arguments: Arguments) -> Staging:
        return Staging(Path(arguments["folder"]), run.id)


class RestoreVm:
    """The workflow: a recovery point becomes a new VM with disks of its own."""

    operation = JobOperation.RESTORE
    tasks: tuple[TaskName, ...] = (TaskName.TRANSFER_BACK, TaskName.CREATE_VM)

    def __init__(self, pillars: Pillars) -> None:
        self._pillars = pillars
        self._fabric = pillars.fabric

    def conduct(self, run: JobRun, arguments: Arguments) -> None:
        """Do the job; raises StepFailed."""
        item, point = _subject(self._pillars, run, arguments)
        final, staging = Path(arguments["folder"]), self._staging(run, arguments)
        run.step(_CHECK, lambda: self._check(arguments["name"], final))
        wanted = Wanted(item, point, tier=_tier(arguments))
        run.step(TaskName.TRANSFER_BACK, lambda: _transfer_back(self._pillars, run, wanted, staging))
        run.step(_PUT_IN_PLACE, lambda: staging.become(final))
        run.step(TaskName.CREATE_VM, lambda: self._create(run, point, arguments))

    def undo(self, run: JobRun, arguments: Arguments, failure: StepFailed) -> None:  # noqa: ARG002 - one undo for all
        """Remove the VM and its disks, when they are the job's."""
        final, staging = Path(arguments["folder"]), self._staging(run, arguments)
        made = self._find_made(arguments["name"], final)
        if made:
            self._fabric.delete_machine(made.uuid)
        if _has_transferred(run) and not staging.folder.exists() and final.exists():
            final.rename(staging.folder)
        staging.remove()

    def after(self, run: JobRun) -> None:
        """Nothing is left to do."""

    def _check(self, name: str, final: Path) -> Json:
        if final.exists():
            raise TargetTaken(path=str(final))
        if _find_machine(self._fabric, name):
            raise VmNameTaken(name=name)

    def _create(self, run: JobRun, point: RecoveryPoint, arguments: Arguments) -> Json:
        folder, name = Path(arguments["folder"]), arguments["name"]
        with run.task(TaskName.CREATE_VM) as cut_short:
            made = self._find_made(name, folder) if cut_short else None
            if made:
                return {"vm": made.uuid}
            left_out = [f"{disk.name} (LUN {disk.lun})" for disk in point.disks if not disk.included]
            if left_out:
                run.note(detached_disks=f"{', '.join(left_out)}: not in the recovery point")
            paths = {path.stem: path for path in sorted(folder.iterdir())}
            keys = open_keys(self._pillars, run.job.vault_id, point.id, point.disk_keys)
            uuid = self._fabric.create_machine(
                point.machine_xml, name=name, disk_paths=paths, network=arguments["network"], keys=keys
            )
        return {"vm": uuid}

    def _find_made(self, name: str, folder: Path) -> VirtualMachine | None:
        """Return the VM that this job has made, if it has."""
        machine = _find_machine(self._fabric, name)
        ours = machine and all(Path(disk.path).parent == folder for disk in machine.disks)
        return machine if ours else None

    def _staging(self, run: JobRun, arguments: Arguments) -> Staging:
        return Staging(Path(arguments["folder"]).parent, run.id)


def _transfer_back(pillars: Pillars, run: JobRun, wanted: Wanted, staging: Staging) -> Json:
    with run.task(TaskName.TRANSFER_BACK):
        run.phase(TaskName.TRANSFER_BACK)("waiting for other transfers")
        with pillars.transfers.taken(run.stop_if_wanted):
            run.phase(TaskName.TRANSFER_BACK)("writing the disks")
            started = pillars.clock.monotonic()
            staging.begin()
            with open_point(pillars, wanted.item, wanted.point, wanted.tier) as opened:
                chosen = choose_disks(wanted.point, opened.disks, wanted.disk_names)
                run.note(restored_from=f"{opened.tier} tier")
                progress = run.progress(TaskName.TRANSFER_BACK)
                write_disks(pillars, chosen, staging.folder, wanted.disk_format, progress)
            run.note(transfer_seconds=round(pillars.clock.monotonic() - started, 1))
    return {"disks": [disk.name for disk in chosen]}


def _subject(pillars: Pillars, run: JobRun, arguments: Arguments) -> tuple[ProtectedItem, RecoveryPoint]:
    item = pillars.catalog.get_item(run.job.item_id)
    return item, pillars.catalog.get_recovery_point(item.id, arguments["point"])


def _tier(arguments: Arguments) -> Tier | None:
    asked = arguments.get("tier")
    return Tier(asked) if asked else None


def _has_transferred(run: JobRun) -> bool:
    done = {task.name for task in run.job.tasks if task.status is TaskStatus.COMPLETED}
    return TaskName.TRANSFER_BACK in done


def _find_machine(fabric: FabricPort, name: str) -> VirtualMachine | None:
    try:
        return fabric.get_machine(name)
    except VmkeepError as error:
        if error.code == "VmNotFound":
            return None
        raise
