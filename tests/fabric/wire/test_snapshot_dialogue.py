"""Snapshot tasks, acted by both extensions and by dishonest ones."""

import base64
import json
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import pytest

from tests.fabric.wire.conftest import ALPHA, BETA, FabricDouble, Site, StartSite
from tests.fabric.wire.guest_actor import HANDLER, GuestActor, SnapshotSettings, TransportKey, unprotect
from vmkeep.base.clock import FakeClock
from vmkeep.base.errors import VmkeepError
from vmkeep.fabric.wire.errors import (
    AgentUnavailable,
    ExtensionStuck,
    SnapshotCancelled,
    SnapshotStatusMissing,
    SnapshotTaskBusy,
)
from vmkeep.fabric.wire.limits import WireLimits
from vmkeep.fabric.wire.routes import Service
from vmkeep.fabric.wire.tasks import DiskSnapshot, SnapshotOutcome


class Backup:
    """A snapshot task of one guest, up to the settings in the guest's hands."""

    def __init__(self, site: Site, guest: GuestActor, task_id: str = "task-1") -> None:
        self.guest, self.fabric = guest, site.fabric
        guest.be_ready()
        request = site.fabric.request(task_id)
        self.running = site.fabric.begin(site.server, guest.vm_uuid, request)
        guest.poll()
        self.settings = self._settings()

    def _settings(self) -> SnapshotSettings:
        settings = self.guest.settings()
        assert settings is not None
        return settings

    def call(self, name: str, **more: object) -> tuple[int, bytes]:
        reply = self.guest.snapshot_call(name, {**self.settings.call, **more})
        return reply.status, reply.body

    def outcome(self) -> SnapshotOutcome:
        return self.running.result(timeout=20)


def act_our_extension(backup: Backup) -> None:
    assert backup.call("presnapshot")[0] == 200
    assert backup.call("presnapshot")[0] == 200
    status, body = backup.call("dosnapshot", diskIds=[-1, 0], settings=[], snapshotMetadata=[])
    assert status == 200
    assert json.loads(body)["snapshotInfo"][0]["isSuccessful"] == "true"
    thaw = {"frozenSeconds": 0.4, "frozenMounts": ["/data", "/"], "thawed": True}
    assert backup.call("postsnapshot", **thaw)[0] == 200
    backup.guest.report_task(backup.settings, "1")


def act_microsofts_extension(backup: Backup) -> None:
    backup.guest.report_task(backup.settings, "4")
    assert backup.call("presnapshot")[0] == 200
    assert backup.call("presnapshot")[0] == 200
    assert backup.call("dosnapshot", diskIds=[])[0] == 200
    backup.guest.report_task(backup.settings, "4")
    backup.guest.report_task(backup.settings, "1")


def test_our_extension_ends_a_backup_with_its_freeze_measured(site: Site, alpha: GuestActor) -> None:
    backup = Backup(site, alpha)
    act_our_extension(backup)
    outcome = backup.outcome()
    assert (outcome.code, outcome.taken, outcome.void) == (1, True, False)
    assert (outcome.frozen_s, outcome.frozen_mounts, outcome.thaw_seen) == (0.4, ("/data", "/"), True)
    story = [
        "goal-state-seen",
        "taken-up",
        "presnapshot",
        "freezing",
        "frozen",
        "snapshot-taken",
        "thawed",
        "status",
    ]
    assert site.fabric.events == story
    assert sorted(outcome.events, key=outcome.events.__getitem__) == story
    assert site.fabric.taken == 1


def test_microsofts_extension_ends_a_backup_too(site: Site, alpha: GuestActor) -> None:
    backup = Backup(site, alpha)
    act_microsofts_extension(backup)
    outcome = backup.outcome()
    assert (outcome.code, outcome.taken, outcome.frozen_s, outcome.thaw_seen) == (1, True, None, True)
    assert site.fabric.events[-2:] == ["thawed", "status"]
    assert site.fabric.taken == 1


def test_each_backup_has_its_own_incarnation_sequence_number_and_token(site: Site, alpha: GuestActor) -> None:
    seen = []
    for task_id in ("task-1", "task-2"):
        site.fabric.events.clear()
        backup = Backup(site, alpha, task_id)
        seen.append((int(alpha.incarnation), backup.settings.seq_no, backup.settings.token))
        assert backup.settings.task_id == task_id
        act_our_extension(backup)
        assert backup.outcome().code == 1
    assert seen[1][0] == seen[0][0] + 1
    assert seen[1][1] == seen[0][1] + 1
    assert seen[1][2] != seen[0][2]


def test_settings_say_what_both_extensions_need(site: Site, alpha: GuestActor, tmp_path: Path) -> None:
    backup = Backup(site, alpha)
    public = backup.settings.public
    wanted = json.loads(base64.b64decode(public["objectStr"]))
    assert public["vmType"] == "microsoft.compute/virtualmachines"
    assert json.loads(public["customSettings"])["takeSnapshotFrom"] == "onlyHost"
    assert wanted["includedDisks"]["isOSDiskIncluded"] is True
    assert wanted["includedDisks"]["dataDiskLunList"] == [0]
    key = TransportKey(tmp_path)
    pem = key.unpack(alpha.fetch("Certificates", guest_agent_public_x509_cert=key.header))
    assert unprotect(backup.settings, pem, tmp_path) == b"{}"
    act_our_extension(backup)
    backup.outcome()


def test_the_hosts_time_is_the_answer_to_presnapshot(site: Site, alpha: GuestActor) -> None:
    backup = Backup(site, alpha)
    reply = json.loads(backup.call("presnapshot")[1])
    assert reply["result"] == "Success"
    assert set(reply["responseTime"]) == {"year", "month", "day", "hour", "minute", "second"}
    act_our_extension(backup)
    backup.outcome()


# refusals


def refused(reply: tuple[int, bytes]) -> bool:
    return reply[0] == 500 and reply[1].startswith(b'{ "error"')


def test_a_second_dosnapshot_is_refused_without_effect(site: Site, alpha: GuestActor) -> None:
    backup = Backup(site, alpha)
    backup.call("presnapshot")
    assert backup.call("dosnapshot")[0] == 200
    assert refused(backup.call("dosnapshot"))
    assert site.fabric.taken == 1
    backup.guest.report_task(backup.settings, "1")
    assert backup.outcome().code == 1
    assert refused(backup.call("dosnapshot"))


def test_a_token_is_worthless_at_another_vms_position(site: Site, alpha: GuestActor) -> None:
    backup = Backup(site, alpha)
    beta = site.guest(BETA)
    beta.be_ready()
    for name in ("presnapshot", "dosnapshot", "postsnapshot"):
        stolen = beta.snapshot_call(name, backup.settings.call)
        assert refused((stolen.status, stolen.body))
    assert site.fabric.taken == 0
    assert site.server.report(beta.vm_uuid).refused == 3
    act_our_extension(backup)
    assert backup.outcome().code == 1


@pytest.mark.parametrize(
    "change",
    [{"snapshotTaskToken": "guess"}, {"taskId": "other"}, {"snapshotTaskToken": None}, {"taskId": ["x"]}],
    ids=["wrong-token", "wrong-task", "no-token", "odd-task"],
)
def test_calls_of_no_running_task_are_refused(
    site: Site, alpha: GuestActor, change: dict[str, object]
) -> None:
    backup = Backup(site, alpha)
    assert refused(backup.call("dosnapshot", **change))
    assert refused(backup.call("presnapshot", **change))
    assert site.fabric.taken == 0
    act_our_extension(backup)
    backup.outcome()


def test_a_pre_script_that_failed_is_told_beside_a_success(site: Site, alpha: GuestActor) -> None:
    backup = Backup(site, alpha)
    backup.call("dosnapshot")
    backup.guest.report_task(backup.settings, "1", health_code=300)
    outcome = backup.outcome()
    assert (outcome.code, outcome.health_code, outcome.taken, outcome.void) == (1, 300, True, False)


def test_a_thaw_without_a_freeze_is_refused(site: Site, alpha: GuestActor) -> None:
    backup = Backup(site, alpha)
    assert refused(backup.call("postsnapshot", thawed=True, frozenSeconds=1))
    act_our_extension(backup)
    assert backup.outcome().frozen_s == 0.4


def test_one_vm_runs_one_task_at_a_time(site: Site, alpha: GuestActor) -> None:
    backup = Backup(site, alpha)
    with pytest.raises(SnapshotTaskBusy, match="task-1"):
        site.server.take_snapshot(alpha.vm_uuid, FabricDouble().request("task-2"))
    with pytest.raises(SnapshotTaskBusy):
        site.server.forget(alpha.vm_uuid)
    act_our_extension(backup)
    backup.outcome()


# failures


def test_a_failing_capture_thaws_the_guest_and_ends_with_76(site: Site, alpha: GuestActor) -> None:
    def fail() -> list[DiskSnapshot]:
        raise OSError("no space left")

    site.fabric.take = fail
    backup = Backup(site, alpha)
    status, body = backup.call("dosnapshot")
    entries = json.loads(body)["snapshotInfo"]
    assert status == 200
    assert [entry["isSuccessful"] for entry in entries] == [False, False]
    assert all(
        set(entry) == {"isSuccessful", "snapshotUri", "errorMessage", "statusCode"} for entry in entries
    )
    backup.guest.report_task(backup.settings, "76")
    outcome = backup.outcome()
    assert (outcome.code, outcome.taken, outcome.void) == (76, False, False)
    assert "no space left" in outcome.message


def test_one_failed_disk_is_told_apart(site: Site, alpha: GuestActor) -> None:
    site.fabric.take = lambda: [DiskSnapshot(-1, "p1"), DiskSnapshot(0, "", "gone")]
    backup = Backup(site, alpha)
    entries = json.loads(backup.call("dosnapshot")[1])["snapshotInfo"]
    assert [entry["isSuccessful"] for entry in entries] == ["true", False]
    backup.guest.report_task(backup.settings, "76", health_code=761)
    outcome = backup.outcome()
    assert (outcome.code, outcome.health_code, outcome.taken) == (76, 761, False)


def test_a_failed_post_script_voids_the_capture(site: Site, alpha: GuestActor) -> None:
    backup = Backup(site, alpha)
    backup.call("dosnapshot")
    backup.guest.report_task(backup.settings, "301")
    outcome = backup.outcome()
    assert (outcome.code, outcome.taken, outcome.void) == (301, True, True)


@pytest.mark.parametrize("code", ["121", 121], ids=["string", "number"])
@pytest.mark.parametrize("beside", [False, True], ids=["details-inside", "details-beside"])
def test_a_failed_freeze_ends_the_task_before_any_capture(
    site: Site, alpha: GuestActor, code: str | int, *, beside: bool
) -> None:
    backup = Backup(site, alpha)
    backup.call("presnapshot")
    telemetry = (("FreezeSeconds", "0.2"), ("FrozenMounts", "/data,/"))
    message = '{"messageStr": "frozen by somebody else", "snapshotConsistency": 0}'
    details = {"health_code": 121, "telemetry": telemetry, "message": message, "beside": beside}
    backup.guest.report_task(backup.settings, code, **details)
    outcome = backup.outcome()
    assert (outcome.code, outcome.health_code, outcome.taken) == (121, 0, False)
    assert outcome.message == "frozen by somebody else"
    assert (outcome.frozen_s, outcome.frozen_mounts) == (0.2, ("/data", "/"))
    assert not outcome.thaw_seen
    assert site.fabric.taken == 0


def test_success_without_a_capture_is_not_believed(site: Site, alpha: GuestActor) -> None:
    backup = Backup(site, alpha)
    backup.guest.report_task(backup.settings, "1")
    outcome = backup.outcome()
    assert (outcome.code, outcome.taken) == (2, False)


@pytest.mark.parametrize(
    "change",
    [{"task_id": "task-0"}, {"seq_no": 5}, {"status": "transitioning"}, {"task_id": ""}],
    ids=["other-task", "other-sequence-number", "reported-by-the-agent", "no-task"],
)
def test_a_status_that_is_not_this_tasks_ends_nothing(
    site: Site, alpha: GuestActor, change: dict[str, str | int]
) -> None:
    backup = Backup(site, alpha)
    backup.guest.report_task(backup.settings, 0, **change)
    act_our_extension(backup)
    assert backup.outcome().code == 1


def test_an_extension_that_cannot_run_ends_the_task_with_the_agents_code(
    site: Site, alpha: GuestActor
) -> None:
    backup = Backup(site, alpha)
    handler = {
        "handlerName": "microsoft.azure.recoveryservices.vmsnapshotlinux",
        "handlerVersion": "9.1.0.0",
        "status": "NotReady",
        "code": 1009,
        "formattedMessage": {"message": "Non-zero exit code: 120"},
    }
    alpha.upload(alpha.status_blob(handler, incarnation="1"))
    alpha.upload(alpha.status_blob(handler))
    outcome = backup.outcome()
    assert (outcome.code, outcome.message) == (1009, "Non-zero exit code: 120")


# silence

Scene = Callable[[Site, GuestActor, FakeClock], Future[SnapshotOutcome]]


def nobody_polls(site: Site, guest: GuestActor, clock: FakeClock) -> Future[SnapshotOutcome]:
    guest.be_ready()
    running = site.fabric.begin(site.server, guest.vm_uuid, site.fabric.request())
    clock.advance(31)
    return running


def never_called(site: Site, guest: GuestActor, clock: FakeClock) -> Future[SnapshotOutcome]:
    backup = Backup(site, guest)
    clock.advance(91)
    return backup.running


def silent_after_the_capture(site: Site, guest: GuestActor, clock: FakeClock) -> Future[SnapshotOutcome]:
    backup = Backup(site, guest)
    backup.call("presnapshot")
    backup.call("dosnapshot")
    backup.guest.report_task(backup.settings, "4")
    site.fabric.wait_for("snapshot-taken")
    clock.advance(121)
    return backup.running


def silent_after_a_thaw_by_force(site: Site, guest: GuestActor, clock: FakeClock) -> Future[SnapshotOutcome]:
    backup = Backup(site, guest)
    backup.call("presnapshot")
    backup.call("presnapshot")
    site.fabric.wait_for("freezing")
    site.fabric.thawed_by_host.set()
    for _ in range(2):  # the first has been taken note of when the second comes
        assert site.fabric.told_of_thaw.acquire(timeout=20)
    clock.advance(21)
    return backup.running


def never_ready(site: Site, guest: GuestActor, clock: FakeClock) -> Future[SnapshotOutcome]:
    backup = Backup(site, guest)
    stuck = {"handlerName": HANDLER, "status": "NotReady", "handlerVersion": "9.0", "code": 0}
    guest.upload(guest.status_blob(stuck))
    clock.advance(91)
    return backup.running


@pytest.mark.parametrize(
    ("scene", "error", "taken"),
    [
        (never_ready, ExtensionStuck, None),
        (nobody_polls, AgentUnavailable, None),
        (never_called, SnapshotStatusMissing, False),
        (silent_after_the_capture, SnapshotStatusMissing, True),
        (silent_after_a_thaw_by_force, SnapshotStatusMissing, False),
    ],
    ids=[
        "never-ready",
        "nobody-polls",
        "never-called",
        "silent-after-the-capture",
        "silent-after-a-thaw-by-force",
    ],
)
def test_silence_ends_a_task_with_azures_code(
    start_site: StartSite, scene: Scene, error: type[VmkeepError], taken: object
) -> None:
    clock = FakeClock()
    site = start_site(clock=clock)
    with pytest.raises(error) as raised:
        scene(site, site.guest(ALPHA), clock).result(timeout=20)
    assert getattr(raised.value, "taken", None) is taken
    assert site.server.report(site.guest(ALPHA).vm_uuid).running_task_id == ""


def test_a_vm_never_heard_has_no_agent(site: Site, alpha: GuestActor) -> None:
    with pytest.raises(AgentUnavailable):
        site.server.take_snapshot(alpha.vm_uuid, site.fabric.request())


def test_a_task_nobody_took_up_is_withdrawn(start_site: StartSite) -> None:
    clock = FakeClock()
    site = start_site(clock=clock)
    guest = site.guest(ALPHA)
    first = Backup(site, guest)
    act_our_extension(first)
    first.outcome()
    with pytest.raises(AgentUnavailable):
        nobody_polls(site, guest, clock).result(timeout=20)
    before = int(first.guest.incarnation)
    assert int(guest.poll()) == before + 2
    settings = guest.settings()
    assert settings is not None
    assert settings.seq_no == first.settings.seq_no


def test_a_cancelled_task_refuses_its_snapshot(site: Site, alpha: GuestActor) -> None:
    backup = Backup(site, alpha)
    backup.call("presnapshot")
    site.fabric.cancel.set()
    with pytest.raises(SnapshotCancelled) as raised:
        backup.outcome()
    assert not raised.value.taken
    assert refused(backup.call("dosnapshot"))
    assert site.fabric.taken == 0


def test_a_slow_capture_lets_the_guest_go_and_is_void(start_site: StartSite) -> None:
    site = start_site(limits=WireLimits(answer_s=0.2))
    release = threading.Event()

    def slow() -> list[DiskSnapshot]:
        assert release.wait(20)
        return [DiskSnapshot(-1, "p1")]

    site.fabric.take = slow
    backup = Backup(site, site.guest(ALPHA))
    entries = json.loads(backup.call("dosnapshot")[1])["snapshotInfo"]
    assert entries[0]["isSuccessful"] is False
    release.set()
    backup.guest.report_task(backup.settings, "1")
    outcome = backup.outcome()
    assert (outcome.code, outcome.taken, outcome.void) == (76, True, True)


def test_a_guest_that_hangs_up_during_the_capture_voids_it(site: Site, alpha: GuestActor) -> None:
    hung_up = threading.Event()

    def take() -> list[DiskSnapshot]:
        assert hung_up.wait(20)
        return [DiskSnapshot(-1, "p1")]

    site.fabric.take = take
    backup = Backup(site, alpha)
    body = json.dumps(backup.settings.call).encode()
    caller = socket.create_connection(alpha.addresses[Service.WIRE], 20, (alpha.ip, 0))
    head = f"POST /metadata/recsvc/snapshot/dosnapshot HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n\r\n"
    caller.sendall(head.encode() + body)
    site.fabric.wait_for("frozen")
    with caller:
        caller.shutdown(socket.SHUT_WR)
        answer = b"".join(iter(lambda: caller.recv(65536), b""))
    assert b'"isSuccessful": false' in answer
    hung_up.set()
    backup.guest.report_task(backup.settings, "76")
    outcome = backup.outcome()
    assert (outcome.code, outcome.taken, outcome.void) == (76, True, True)
