"""Stand-ins for engine, fabric and repositories, over a real catalog."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from vmkeep.arm.ports import NewRepository
from vmkeep.base.clock import Clock
from vmkeep.base.errors import Retry, VmkeepError
from vmkeep.base.ids import new_guid
from vmkeep.catalog import Catalog
from vmkeep.diagnosis.evidence import Evidence, Fact, Seen
from vmkeep.diagnosis.tree import TREE
from vmkeep.diagnosis.verdict import Diagnosis, judge
from vmkeep.fabric.offline.collection import pack
from vmkeep.keyvault.key_id import KeyId
from vmkeep.model.disk_key import KeyReference
from vmkeep.model.disk_selection import is_selected
from vmkeep.model.job import Job, JobError, JobOperation, JobStatus, JobTask, TaskName, TaskStatus
from vmkeep.model.machine import AgentState, Consistency, Disk, DiskFormat, MachineState, Nic, VirtualMachine
from vmkeep.model.network import Network
from vmkeep.model.outlook import Outlook, OutlookLine
from vmkeep.model.protection import ProtectedItem, ProtectionState, RecoveryPoint, Tier, Vault
from vmkeep.model.restore_point import PointDisk, Warned
from vmkeep.workflows.agreement import HostReport
from vmkeep.workflows.errors import (
    NotActivelyProtected,
    NothingToApply,
    OnlyCopyInCollection,
    RemedyNeedsConsent,
)

GIB = 2**30


def machine(name: str, **changes: Any) -> VirtualMachine:  # any field
    disks = (
        Disk("vda", -1, f"/images/{name}.qcow2", DiskFormat.QCOW2, 8 * GIB),
        Disk("vdb", 0, f"/images/{name}-data.raw", DiskFormat.RAW, 2 * GIB),
    )
    vm = VirtualMachine(
        uuid=f"uuid-{name}",
        name=name,
        state=MachineState.RUNNING,
        disks=disks,
        nics=(Nic("52:54:00:00:00:01", "default", "10.77.0.5"),),
        agent=AgentState.READY,
        agent_version="2.9.1.1",
    )
    return replace(vm, **changes)


def _disks(item: ProtectedItem) -> tuple[PointDisk, ...]:
    return tuple(
        PointDisk(
            disk.name,
            disk.lun,
            disk.size_bytes,
            included=is_selected(item.disk_selection, disk.name, disk.lun),
        )
        for disk in machine(item.vm_name).disks
    )


RECORDED = datetime(2026, 1, 1, tzinfo=UTC)
"""When evidence was recorded."""


@dataclass(eq=False)
class VmNotFound(VmkeepError):
    text = "there is no VM '{e.name}'"
    remedy = "See the VMs: vmkeep vm list"
    name: str


@dataclass(eq=False)
class HypervisorUnreachable(VmkeepError):
    retry = Retry.LATER
    text = "libvirtd does not answer"
    remedy = "Start libvirtd."


@dataclass(eq=False)
class TooLate(VmkeepError):
    code = "JobNotInProgress"
    text = "Backup can't cancel the job because it isn't in progress"


@dataclass
class FakeFabric:
    machines: list[VirtualMachine] = field(default_factory=lambda: [machine("web01"), machine("db01")])
    attached: set[str] = field(default_factory=set)
    reachable: bool = True
    unreached: tuple[str, ...] = ()
    """Why a guest's files cannot be collected."""
    broken: bool = False

    def list_machines(self) -> list[VirtualMachine]:
        if self.broken:
            raise RuntimeError("secret detail of the inside")
        if not self.reachable:
            raise HypervisorUnreachable
        return self.machines

    def get_machine(self, name_or_uuid: str) -> VirtualMachine:
        for vm in self.list_machines():
            if name_or_uuid in {vm.name, vm.uuid}:
                return vm
        raise VmNotFound(name=name_or_uuid)

    def set_disk_keys(self, vm_uuid: str, references: Mapping[str, KeyReference]) -> None:
        self.machines = [
            replace(
                vm, disks=tuple(replace(disk, key=references.get(disk.name, disk.key)) for disk in vm.disks)
            )
            if vm.uuid == vm_uuid
            else vm
            for vm in self.machines
        ]

    def collect(self, vm_uuid: str) -> bytes:
        taken = {"path": f"/log of {vm_uuid}"}
        manifest: dict[str, Any] = {
            "origin": "restore point x",
            "moment": "2026-01-01T00:00:00+00:00",
            "files": [taken],
        }
        if self.unreached:
            manifest = {"origin": None, "moment": None, "files": []}
        return pack({"manifest.json": json.dumps(manifest).encode()}, unreached=self.unreached, at=0)

    def list_networks(self) -> list[Network]:
        return [
            Network("default", "virbr0", "192.168.122.0/24", active=True, attached="default" in self.attached)
        ]

    def attach_network(self, name: str) -> list[str]:
        changes = [] if name in self.attached else [f"Addresses added to the bridge of '{name}'."]
        self.attached.add(name)
        return changes

    def detach_network(self, name: str) -> None:
        self.attached.discard(name)


@dataclass
class FakeEngine:
    """Ends each job at once, unless `hold` is set: then the job stays at half way until `finish`."""

    catalog: Catalog
    clock: Clock
    hold: bool = False
    failure: JobError | None = None
    lines: list[OutlookLine] = field(default_factory=list)
    restores: list[dict[str, Any]] = field(default_factory=list)  # arguments as they came
    findings: list[Warned] = field(default_factory=list)
    """What a repair makes good."""
    seen: dict[Fact, str] = field(default_factory=dict)
    """What a look at any VM sees."""
    seen_when_mended: dict[Fact, str] = field(default_factory=dict)
    verbose_logs: dict[str, bool] = field(default_factory=dict)

    def check_host(self, *, repair: bool) -> HostReport:
        found = self.findings
        if not repair:
            return HostReport(found)
        self.findings = []
        return HostReport([], found)

    def start_backup(self, item: ProtectedItem, *, reason: str, retain_until: datetime | None) -> Job:
        if item.state.stopped:
            raise NotActivelyProtected(vm=item.vm_name, state=item.state)
        tasks = (TaskName.TAKE_SNAPSHOT, TaskName.TRANSFER)
        job = self._start(item, JobOperation.BACKUP, reason, tasks)
        if not self.hold and self.failure is None:
            self._add_point(item, retain_until)
        return self._maybe_finish(job)

    def start_restore_vm(
        self,
        item: ProtectedItem,
        recovery_point: RecoveryPoint,
        *,
        new_name: str,
        network: str | None,
        tier: Tier | None,
        reason: str,
    ) -> Job:
        self.restores.append({"point": recovery_point.id, "name": new_name, "network": network, "tier": tier})
        tasks = (TaskName.TRANSFER_BACK, TaskName.CREATE_VM)
        return self._maybe_finish(self._start(item, JobOperation.RESTORE, reason, tasks))

    def start_restore_disks(
        self,
        item: ProtectedItem,
        recovery_point: RecoveryPoint,
        *,
        folder: Path,
        disk_format: DiskFormat,
        disk_names: tuple[str, ...] | None,
        tier: Tier | None,
        reason: str,
    ) -> Job:
        self.restores.append(
            {
                "point": recovery_point.id,
                "folder": folder,
                "format": disk_format,
                "disks": disk_names,
                "tier": tier,
            }
        )
        return self._maybe_finish(self._start(item, JobOperation.RESTORE, reason, (TaskName.TRANSFER_BACK,)))

    def start_delete_item_data(self, item: ProtectedItem, *, reason: str) -> Job:
        job = self._start(item, JobOperation.DELETE_BACKUP_DATA, reason, ())
        for point in self.catalog.list_recovery_points(item.id):
            self.catalog.delete_recovery_point(item.id, point.id)
        self.catalog.delete_item(item.id)
        return self._maybe_finish(job)

    def start_delete_restore_points(
        self, item: ProtectedItem, restore_points: tuple[str, ...], *, force: bool, reason: str
    ) -> Job:
        points = [
            point
            for point in self.catalog.list_recovery_points(item.id)
            if point.restore_point and point.restore_point.id in restore_points
        ]
        if not force and not all(point.manifest_id for point in points):
            raise OnlyCopyInCollection(vm=item.vm_name, recovery_points=points[0].id)
        for point in points:
            self.catalog.put_recovery_point(replace(point, restore_point=None))
        return self._maybe_finish(self._start(item, JobOperation.DELETE_RESTORE_POINTS, reason, ()))

    def outlook(self, vm_uuid: str) -> Outlook:
        item = self.catalog.find_item_for_vm(vm_uuid)
        return Outlook(vm_uuid.removeprefix("uuid-"), item.vault_id if item else "", tuple(self.lines))

    def diagnose(self, vm_uuid: str) -> Diagnosis:
        at = RECORDED
        name = vm_uuid.removeprefix("uuid-")
        return judge(
            TREE,
            Seen(Evidence(fact, value, at, "recorded") for fact, value in self.seen.items()),
            vm_name=name,
            at=at,
        )

    def set_verbose_logs(self, vm_uuid: str, *, verbose: bool) -> None:
        self.verbose_logs[vm_uuid] = verbose

    def apply_remedy(self, vm_uuid: str, *, consent: bool) -> Diagnosis:
        found = self.diagnose(vm_uuid)
        if found.cause is None or found.cause.mend is None:
            raise NothingToApply(vm=found.vm_name, verdict=found.verdict)
        if not found.cause.mend.is_safe and not consent:
            raise RemedyNeedsConsent(found.vm_name, found.verdict, would="take something away")
        self.seen = self.seen_when_mended
        return found

    def stop(self, job_id: str) -> Job:
        if not self.catalog.get_job(job_id).status.running:
            raise TooLate
        return self.catalog.update_job(job_id, status=JobStatus.CANCELLED, ended=self.clock.now())

    def finish(self, job_id: str) -> Job:
        job = self.catalog.get_job(job_id)
        status = JobStatus.FAILED if self.failure else JobStatus.COMPLETED
        for task in job.tasks:
            self.catalog.update_task(
                job_id,
                task.name,
                status=TaskStatus.COMPLETED,
                ended=self.clock.now(),
                done_bytes=task.total_bytes,
            )
        measures = {"Frozen Seconds": "0.412", "Bytes Read": str(GIB), "Bytes Stored": "1048576"}
        return self.catalog.update_job(
            job_id, status=status, ended=self.clock.now(), error=self.failure, properties=measures
        )

    def _maybe_finish(self, job: Job) -> Job:
        return job if self.hold else self.finish(job.id)

    def _start(
        self, item: ProtectedItem, operation: JobOperation, reason: str, tasks: tuple[TaskName, ...]
    ) -> Job:
        now = self.clock.now()
        started = [
            JobTask(name, TaskStatus.IN_PROGRESS, started=now, done_bytes=GIB // 2, total_bytes=GIB)
            for name in tasks
        ]
        job = Job(
            id=new_guid(),
            vault_id=item.vault_id,
            operation=operation,
            status=JobStatus.IN_PROGRESS,
            reason=reason,
            started=now,
            item_id=item.id,
            item_name=item.vm_name,
            tasks=tuple(started),
        )
        self.catalog.create_job(job)
        return job

    def _add_point(self, item: ProtectedItem, retain_until: datetime | None) -> None:
        now = self.clock.now()
        point = RecoveryPoint(
            id=self.catalog.new_recovery_point_id(),
            item_id=item.id,
            time=now,
            consistency=Consistency.FILE_SYSTEM,
            manifest_id="m-1",
            retain_until=retain_until,
            size_bytes=10 * GIB,
            stored_bytes=GIB,
            disks=_disks(self.catalog.get_item(item.id)),
        )
        self.catalog.put_recovery_point(point)
        self.catalog.put_item(
            replace(
                item,
                state=ProtectionState.PROTECTED,
                last_backup=now,
                last_backup_status="Completed",
                last_recovery_point=now,
            )
        )


@dataclass
class FakeRepositories:
    folder: Path
    problems: list[str] = field(default_factory=list)
    keys: dict[str, KeyId | None] = field(default_factory=dict)

    def create(self, vault_id: str, url: str, key: KeyId | None = None) -> NewRepository:
        self.keys[vault_id] = key
        return NewRepository(url or f"file://{self.folder}/{vault_id}", b"wrapped")

    def wrap_anew(self, vault: Vault, key: KeyId | None) -> None:
        self.keys[vault.id] = key

    def check(self, vault: Vault, *, read_data: bool) -> dict[str, Any]:  # JSON values
        return {
            "problems": self.problems,
            "figures": {"vault": vault.name, "objects": 3, "readBytes": GIB if read_data else 0},
        }

    def prune(self, vault: Vault) -> dict[str, Any]:  # JSON values
        return {"figures": {"vault": vault.name, "removedObjects": 1, "removedBytes": 4096}}
