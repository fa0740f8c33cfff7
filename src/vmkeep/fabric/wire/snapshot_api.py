"""The extension's calls: presnapshot, dosnapshot, postsnapshot (docs/formats/wire.md §7)."""

import json
from collections.abc import Sequence
from datetime import datetime

from vmkeep.fabric.wire import guest_json
from vmkeep.fabric.wire.agents import Agent
from vmkeep.fabric.wire.errors import RequestRefused
from vmkeep.fabric.wire.guest_json import find, items, seconds, text
from vmkeep.fabric.wire.tasks import CaptureAnswer, DiskSnapshot, SnapshotTask, Thaw

NOT_CAPTURED = "the host could not capture this disk"
SUCCESS = "true"
"""A string, as Microsoft's extension wants it; failure is the boolean."""


def refusal(why: str) -> RequestRefused:
    """Return the one kind of 500 that no extension hangs on."""
    body = '{ "error": ' + json.dumps({"code": "SnapshotRefused", "message": why}) + " }"
    return RequestRefused(status=500, why=why, body=body.encode())


def owned_task(agent: Agent, call: object) -> SnapshotTask:
    """Return the running task that a call belongs to. Raises RequestRefused."""
    task = agent.task
    task_id, token = find(call, "taskId"), find(call, "snapshotTaskToken")
    if task is None or not isinstance(task_id, str) or not isinstance(token, str):
        raise refusal("no snapshot task of this VM is running")
    if not task.owns(task_id, token):
        raise refusal("the call belongs to no running snapshot task of this VM")
    return task


def presnapshot(agent: Agent, body: bytes, now: datetime) -> bytes:
    """Answer with the host's time, at once. Raises RequestRefused."""
    owned_task(agent, guest_json.parse(body)).presnapshot()
    time = {name: getattr(now, name) for name in ("year", "month", "day", "hour", "minute", "second")}
    reply = {"result": "Success", "bhsVersion": "1.0", "nodeId": "vmkeep", "responseTime": time}
    return json.dumps(reply).encode()


def dosnapshot(agent: Agent, body: bytes) -> tuple[SnapshotTask, CaptureAnswer]:
    """Start the capture of the running task, once. Raises RequestRefused."""
    task = owned_task(agent, guest_json.parse(body))
    answer = task.dosnapshot()
    if answer is None:
        raise refusal("the snapshot of this task was already taken")
    return task, answer


def dosnapshot_reply(task: SnapshotTask, disks: Sequence[DiskSnapshot]) -> bytes:
    """Return the answer to dosnapshot: one entry per disk, failed ones when nothing was captured."""
    entries = disks or [DiskSnapshot(lun, "", NOT_CAPTURED) for lun in task.request.luns]
    return json.dumps({"snapshotInfo": [_entry(disk) for disk in entries]}).encode()


def _entry(disk: DiskSnapshot) -> dict[str, object]:
    return {
        "isSuccessful": False if disk.error else SUCCESS,
        "snapshotUri": f"https://vmkeep.invalid/disks/{disk.lun}?snapshot={disk.id}",
        "errorMessage": NOT_CAPTURED if disk.error else None,
        "statusCode": "500" if disk.error else "200",
    }


def postsnapshot(agent: Agent, body: bytes) -> None:
    """Note the thaw. Raises RequestRefused."""
    call = guest_json.parse(body)
    task = owned_task(agent, call)
    thaw = Thaw(
        frozen_s=seconds(find(call, "frozenSeconds")),
        frozen_mounts=tuple(text(mount) for mount in items(find(call, "frozenMounts"), 64)),
    )
    if find(call, "thawed") is not True or not task.postsnapshot(thaw):
        raise refusal("no snapshot of this task awaits its thaw")
