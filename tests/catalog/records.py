"""Records to put into catalogs; a test changes what it is about with `dataclasses.replace`."""

from datetime import UTC, datetime

from vmkeep.model.disk_key import CarriedKey, KeyReference
from vmkeep.model.job import Job, JobOperation, JobStatus, JobTask, TaskName
from vmkeep.model.machine import Consistency, DiskFormat
from vmkeep.model.protection import Policy, ProtectedItem, ProtectionState, RecoveryPoint, Vault
from vmkeep.model.restore_point import CapturedDisk, RestorePoint, Warned

START = datetime(2026, 1, 1, tzinfo=UTC)

VAULT = Vault(
    id="v-1",
    name="main",
    resource_group="local",
    location="local",
    repository_url="file:///srv/main",
    wrapped_key=b"\x00wrapped\xff",
    created=START,
    properties={"storageModelType": "LocallyRedundant"},
    tags={"team": "web"},
)
POLICY = Policy(vault_id=VAULT.id, name="DefaultPolicy", properties={"instantRpRetentionRangeInDays": 2})
ITEM = ProtectedItem(
    id="i-1",
    vault_id=VAULT.id,
    vm_uuid="u-1",
    vm_name="web01",
    resource_group="local",
    policy_name=POLICY.name,
    state=ProtectionState.IR_PENDING,
    created=START,
)
RESTORE_POINT = RestorePoint(
    id="rp-1",
    vm_uuid=ITEM.vm_uuid,
    vm_name=ITEM.vm_name,
    time=START,
    consistency=Consistency.FILE_SYSTEM,
    disks=(
        CapturedDisk(
            name="vda",
            lun=-1,
            path="/images/web01.qcow2",
            format=DiskFormat.QCOW2,
            size_bytes=1 << 30,
            active_path="/images/web01.vmkeep-rp-1.qcow2",
            chain=("/images/web01.qcow2",),
        ),
    ),
    machine_xml="<domain/>",
    frozen_s=0.25,
    warnings=(Warned("Fell", "to a lower rung"),),
)
POINT = RecoveryPoint(
    id="1000",
    item_id=ITEM.id,
    time=START,
    consistency=Consistency.FILE_SYSTEM,
    restore_point=RESTORE_POINT,
    size_bytes=16 << 40,
    machine_xml="<domain/>",
    warnings=RESTORE_POINT.warnings,
    disk_keys=(CarriedKey("vda", KeyReference("kv1", "os-key"), "7", b"\x01sealed", b"\x02backup"),),
)
JOB = Job(
    id="j-1",
    vault_id=VAULT.id,
    operation=JobOperation.BACKUP,
    status=JobStatus.IN_PROGRESS,
    reason="user: backup-now",
    started=START,
    item_id=ITEM.id,
    item_name=ITEM.vm_name,
    tasks=(JobTask(TaskName.TAKE_SNAPSHOT), JobTask(TaskName.TRANSFER)),
)
