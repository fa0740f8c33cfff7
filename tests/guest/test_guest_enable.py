"""`enable`, as the agent sees it: settings in, host called, status out."""

import errno
import json
import os

import pytest

from tests.guest.world import BAD_DISK, GOOD_DISK, FakeHost, Guest, Kernel, enable, public_settings
from vmkeep_guest.command import Enable
from vmkeep_guest.handler import Handler


@pytest.mark.usefixtures("host")
def test_backup_reports_success_with_disks_and_freeze(guest: Guest, kernel: Kernel) -> None:
    guest.write_settings(0, public_settings(), {})
    enable(guest, 0, kernel)
    status, report, telemetry = guest.status(0), guest.report(0), guest.telemetry(0)
    assert (status["status"], status["code"], status["operation"]) == ("success", "1", "Enable")
    assert report["taskId"] == "task-1"
    assert json.loads(report["formattedMessage"]["message"])["snapshotConsistency"] == 0
    assert report["snapshotInfo"] == [
        {
            "isSuccessful": True,
            "snapshotUri": "https://host/a",
            "errorMessage": None,
            "blobUri": "",
            "directDriveSnapshotIdentifier": None,
        }
    ]
    assert report["vmHealthInfo"] == {"vmHealthState": 0, "vmHealthStatusCode": 1}
    assert report["storageDetails"]["partitionCount"] == 1
    assert telemetry["consistencyType"] == "fileSystemConsistent"
    assert telemetry["FrozenMounts"] == str(guest.azure)
    assert float(telemetry["FreezeSeconds"]) > 0


def test_host_is_asked_before_during_and_after_the_freeze(
    guest: Guest, host: FakeHost, kernel: Kernel
) -> None:
    seen = []
    host.on_call = lambda call: seen.append((call, kernel.trace))
    guest.write_settings(0, public_settings(), {})
    enable(guest, 0, kernel)
    assert seen == [("presnapshot", ""), ("presnapshot", ""), ("dosnapshot", "F"), ("postsnapshot", "FT")]


def test_host_learns_of_the_thaw(guest: Guest, host: FakeHost, kernel: Kernel) -> None:
    guest.write_settings(0, public_settings(), {})
    enable(guest, 0, kernel)
    told = host.last("postsnapshot")
    assert told.pop("frozenSeconds") > 0
    assert told == {
        "taskId": "task-1",
        "snapshotTaskToken": "secret-token",
        "frozenMounts": [str(guest.azure)],
        "thawed": True,
    }


def test_host_is_told_disks_settings_and_metadata(guest: Guest, host: FakeHost) -> None:
    details = {
        "backupMetadata": [{"Key": "k", "Value": "v"}],
        "snapshotTaskToken": "secret-token",
        "includedDisks": {
            "dataDiskLunList": [0, 2],
            "isOSDiskIncluded": True,
            "instantAccessDurationMinutes": 60,
        },
        "dynamicConfigsFromCRP": [{"Key": "isSnapshotTtlEnabled", "Value": True}],
    }
    custom = json.dumps({"takeSnapshotFrom": "onlyHost", "isManagedVm": True, "backupTaskId": "backup-7"})
    guest.write_settings(0, public_settings(details=details, customSettings=custom), {})
    enable(guest, 0)
    assert host.last("dosnapshot") == {
        "taskId": "backup-7",
        "diskIds": [0, 2, -1],
        "settings": [{"Key": "isSnapshotTtlEnabled", "Value": True}],
        "snapshotTaskToken": "secret-token",
        "snapshotMetadata": [{"Key": "k", "Value": "v"}],
        "instantAccessDurationMinutes": 60,
    }
    assert (host.headers["Backup"], host.headers["UserAgent"]) == ("true", "VMSnapshot")


def test_token_never_reaches_log_or_status(guest: Guest, host: FakeHost, kernel: Kernel) -> None:
    guest.write_settings(0, public_settings(), {})
    enable(guest, 0, kernel)
    assert "backup.done" in guest.log
    assert "secret-token" not in guest.log + json.dumps(guest.status(0))
    assert host.last("dosnapshot")["snapshotTaskToken"] == "secret-token"


@pytest.mark.parametrize("protected", [None, {}], ids=["null", "empty"])
def test_protected_settings_may_hold_nothing(guest: Guest, host: FakeHost, protected: object) -> None:
    guest.write_settings(0, public_settings(), protected)
    enable(guest, 0)
    assert guest.status(0)["code"] == "1"
    assert host.calls()[0] == "presnapshot"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "body", "health"),
    [
        (200, {"snapshotInfo": [BAD_DISK]}, 76),
        (200, {"snapshotInfo": [GOOD_DISK, BAD_DISK]}, 761),
        (200, {"snapshotInfo": [GOOD_DISK, GOOD_DISK | {"isSuccessful": "false"}]}, 761),
        (200, {"snapshotInfo": [{"snapshotUri": "u"}]}, 76),
        (200, {"snapshotInfo": []}, 76),
        (200, {"snapshotInfo": "nonsense"}, 76),
        (200, b"", 76),
        (200, b"not json", 76),
        (200, [], 76),
        (404, {}, 76),
        (500, b'{ "error": "no" }', 76),
        (500, b"<html>oops</html>", 76),
    ],
)
def test_snapshot_that_is_not_whole_fails_with_76(  # noqa: PLR0917 - fixtures and parameters
    guest: Guest, host: FakeHost, kernel: Kernel, status: int, body: object, health: int
) -> None:
    host.answers["dosnapshot"] = (status, body)
    guest.write_settings(0, public_settings(), {})
    enable(guest, 0, kernel)
    assert guest.status(0)["code"] == "76"
    assert guest.report(0)["vmHealthInfo"] == {"vmHealthState": 256, "vmHealthStatusCode": health}
    assert kernel.trace == "FT"
    assert host.calls()[-1] == "postsnapshot"


def test_success_may_be_said_as_a_json_true(guest: Guest, host: FakeHost) -> None:
    host.answers["dosnapshot"] = (201, {"snapshotInfo": [GOOD_DISK | {"isSuccessful": True}]})
    guest.write_settings(0, public_settings(), {})
    enable(guest, 0)
    assert guest.status(0)["code"] == "1"


def test_failed_disk_is_named_with_the_hosts_reason(guest: Guest, host: FakeHost) -> None:
    host.answers["dosnapshot"] = (200, {"snapshotInfo": [GOOD_DISK, BAD_DISK]})
    guest.write_settings(0, public_settings(), {})
    enable(guest, 0)
    assert guest.status(0)["formattedMessage"]["message"] == "1 of 2 disks failed: disk is full"


def test_unreachable_host_fails_without_freezing(
    guest: Guest, kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_GUEST_AGENT_WIRE_PROTOCOL_ADDRESS", "127.0.0.1:1")
    guest.write_settings(0, public_settings(), {})
    enable(guest, 0, kernel)
    assert guest.status(0)["code"] == "76"
    assert guest.telemetry(0)["hostStatusCodePreSnapshot"] == "555"
    assert kernel.trace == ""


def test_freeze_failure_is_121_and_no_snapshot_is_taken(guest: Guest, host: FakeHost, kernel: Kernel) -> None:
    kernel.refusal = errno.EIO
    guest.write_settings(0, public_settings(), {})
    enable(guest, 0, kernel)
    assert guest.status(0)["code"] == "121"
    assert guest.telemetry(0)["FailedMount"] == str(guest.azure)
    assert str(guest.azure) in guest.status(0)["formattedMessage"]["message"]
    assert "dosnapshot" not in host.calls()


def test_freeze_failure_lowers_the_consistency_when_the_host_allows_it(
    guest: Guest, host: FakeHost, kernel: Kernel
) -> None:
    kernel.refusal = errno.EIO
    custom = json.dumps({"canTakeCrashConsistentSnapshot": True})
    guest.write_settings(0, public_settings(customSettings=custom), {})
    enable(guest, 0, kernel)
    report = guest.report(0)
    assert guest.status(0)["code"] == "1"
    assert report["vmHealthInfo"] == {"vmHealthState": 128, "vmHealthStatusCode": 121}
    assert json.loads(report["formattedMessage"]["message"])["snapshotConsistency"] == 3
    assert host.last("postsnapshot")["frozenMounts"] == []


def test_expired_freeze_makes_the_backup_inconsistent(guest: Guest, host: FakeHost, kernel: Kernel) -> None:
    (guest.azure / "vmbackup.conf").write_text("[SnapshotThread]\ntimeout = 0.01\n")
    host.on_call = lambda call: wait_for_thaw(kernel) if call == "dosnapshot" else None
    guest.write_settings(0, public_settings(), {})
    enable(guest, 0, kernel)
    assert guest.status(0)["code"] == "2"
    assert "did not stand still" in guest.status(0)["formattedMessage"]["message"]


def wait_for_thaw(kernel: Kernel) -> None:
    while "T" not in kernel.trace:
        os.sched_yield()


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_freeze_rules_in_another_encoding_are_told_and_cost_no_backup(
    guest: Guest, kernel: Kernel, encoding: str
) -> None:
    (guest.azure / "vmbackup.conf").write_text("[SnapshotThread]\nMountsToSkip = /x\n", encoding=encoding)
    guest.write_settings(0, public_settings(), {})
    enable(guest, 0, kernel)
    assert guest.status(0)["code"] == "1"
    assert guest.report(0)["vmHealthInfo"] == {"vmHealthState": 128, "vmHealthStatusCode": 600}
    assert "not encoded" in guest.status(0)["formattedMessage"]["message"]
    assert kernel.trace == "FT"


@pytest.mark.usefixtures("host")
def test_freeze_failure_with_rules_in_another_encoding_tells_both(guest: Guest, kernel: Kernel) -> None:
    (guest.azure / "vmbackup.conf").write_text("[SnapshotThread]\nMountsToSkip = /x\n", encoding="utf-16")
    kernel.refusal = errno.EIO
    guest.write_settings(0, public_settings(), {})
    enable(guest, 0, kernel)
    message = guest.status(0)["formattedMessage"]["message"]
    assert guest.status(0)["code"] == "121"
    assert "cannot be frozen" in message
    assert "not encoded" in message


def test_skipped_mounts_are_not_frozen(guest: Guest, host: FakeHost, kernel: Kernel) -> None:
    (guest.azure / "vmbackup.conf").write_text(f"[SnapshotThread]\nMountsToSkip = /x, {guest.azure}/\n")
    guest.write_settings(0, public_settings(), {})
    enable(guest, 0, kernel)
    assert kernel.trace == ""
    assert guest.telemetry(0)["consistencyType"] == "crashConsistent"
    assert "dosnapshot" in host.calls()


TICKS_2026 = 639028224000000000  # 2026-01-01T00:00:00Z
HOST_TIME = {"year": 2026, "month": 1, "day": 1, "hour": 2, "minute": 20, "second": 0}


@pytest.mark.parametrize(("second", "code"), [(0, "1"), (1, "402")])
def test_command_older_than_140_minutes_by_the_hosts_clock_is_refused(
    guest: Guest, host: FakeHost, second: int, code: str
) -> None:
    host.answers["presnapshot"] = (200, {"responseTime": HOST_TIME | {"second": second}})
    guest.write_settings(0, public_settings(commandStartTimeUTCTicks=str(TICKS_2026)), {})
    enable(guest, 0)
    assert guest.status(0)["code"] == code


def test_nothing_is_frozen_when_the_host_does_not_answer_right_before(
    guest: Guest, host: FakeHost, kernel: Kernel
) -> None:
    host.answers.pop("presnapshot")
    guest.write_settings(0, public_settings(), {})
    enable(guest, 0, kernel)
    assert guest.status(0)["code"] == "76"
    assert kernel.trace == ""


def test_guests_clock_judges_age_when_the_host_does_not_tell(guest: Guest, host: FakeHost) -> None:
    host.answers["presnapshot"] = (500, b"")
    guest.write_settings(0, public_settings(commandStartTimeUTCTicks="630822816000000000"), {})
    enable(guest, 0)
    assert guest.status(0)["code"] == "402"


def test_same_command_again_changes_nothing(guest: Guest, host: FakeHost) -> None:
    guest.write_settings(0, public_settings(), {})
    enable(guest, 0)
    before = guest.status(0)
    enable(guest, 0)
    assert host.calls().count("dosnapshot") == 1
    assert guest.status(0) == before


def test_same_task_under_a_new_number_is_reported_again_but_not_run_again(
    guest: Guest, host: FakeHost
) -> None:
    guest.write_settings(0, public_settings(), {})
    enable(guest, 0)
    guest.write_settings(1, public_settings(), {})
    enable(guest, 1)
    assert host.calls().count("dosnapshot") == 1
    assert guest.status(1) == guest.status(0)


def test_status_lost_with_its_folder_is_written_again(guest: Guest, host: FakeHost) -> None:
    guest.write_settings(0, public_settings(), {})
    enable(guest, 0)
    (guest.extension / "status" / "0.status").unlink()
    enable(guest, 0)
    assert guest.status(0)["code"] == "1"
    assert host.calls().count("dosnapshot") == 1


def test_next_task_is_run(guest: Guest, host: FakeHost) -> None:
    for number in (0, 1):
        guest.write_settings(number, public_settings(f"task-{number}"), {})
        enable(guest, number)
    assert host.calls().count("dosnapshot") == 2


def test_restored_copy_runs_the_task_that_its_original_ran(guest: Guest, host: FakeHost) -> None:
    guest.write_settings(0, public_settings(), {})
    enable(guest, 0)
    guest.write_identity("{22222222-2222-2222-2222-222222222222}")
    enable(guest, 0)
    assert host.calls().count("dosnapshot") == 2


def test_unknown_identity_is_taken_for_the_same_machine(guest: Guest, host: FakeHost) -> None:
    guest.write_settings(0, public_settings(), {})
    enable(guest, 0)
    (guest.agent / "HostingEnvironmentConfig.xml").unlink()
    enable(guest, 0)
    assert host.calls().count("dosnapshot") == 1


def test_interrupted_task_is_reported_as_failed(guest: Guest, host: FakeHost) -> None:
    guest.write_settings(0, public_settings(), {})
    child = os.fork()
    if child == 0:
        host.on_call = lambda _: None
        Handler.forget_old_numbers = lambda *_: None  # type: ignore[method-assign]
        Enable._back_up = lambda *_: os._exit(9)  # type: ignore[method-assign]
        enable(guest, 0)
    os.waitpid(child, 0)
    assert not guest.has_status(0)
    enable(guest, 0)
    assert guest.status(0)["code"] == "2"
    assert "interrupted" in guest.status(0)["formattedMessage"]["message"]


def test_unforeseen_error_becomes_code_2(
    guest: Guest, host: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vmkeep_guest.command.Backup.run", lambda _: 1 / 0)
    guest.write_settings(0, public_settings(), {})
    enable(guest, 0)
    assert guest.status(0)["code"] == "2"
    assert "error=\"ZeroDivisionError('division by zero')\" way='command.py:" in guest.log
    assert host.calls() == []


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"commandToExecute": "dance"}, "11"),
        ({"objectStr": ""}, "11"),
        ({"objectStr": "%%%"}, "11"),
        ({"objectStr": "bm90IGpzb24="}, "11"),
        ({"customSettings": "{"}, "11"),
        ({"customSettings": '{"takeSnapshotFrom": "onlyGuest"}'}, "11"),
        ({"objectStr": "eyJpbmNsdWRlZERpc2tzIjogeyJpc0FueURpc2tFeGNsdWRlZCI6IHRydWV9fQ=="}, "17"),
        ({"commandToExecute": "install", "objectStr": ""}, "1"),
    ],
)
def test_settings_are_judged_before_anything_is_done(
    guest: Guest, host: FakeHost, changes: dict[str, object], code: str
) -> None:
    guest.write_settings(0, public_settings() | changes, {})
    enable(guest, 0)
    assert guest.status(0)["code"] == code
    assert host.calls() == []


def test_settings_that_nobody_can_read_are_16(guest: Guest, host: FakeHost) -> None:
    (guest.extension / "config" / "0.settings").write_text("{")
    enable(guest, 0)
    assert guest.status(0)["code"] == "16"
    guest.write_settings(1, None, {"objectStr": ""})
    for key in guest.agent.glob("*.prv"):
        key.write_text("not a key")
    enable(guest, 1)
    assert guest.status(1)["code"] == "16"
    assert host.calls() == []


def test_public_settings_suffice_when_the_certificate_is_gone(guest: Guest, host: FakeHost) -> None:
    guest.write_settings(0, public_settings(), {})
    for key in guest.agent.glob("*.prv"):
        key.unlink()
    enable(guest, 0)
    assert guest.status(0)["code"] == "1"
    assert "dosnapshot" in host.calls()


def test_files_of_long_past_commands_are_deleted(guest: Guest, host: FakeHost) -> None:
    for number in (0, 1, 60):
        guest.write_settings(number, public_settings(f"task-{number}"))
        enable(guest, number)
    assert not guest.has_status(0)
    assert guest.has_status(1)
    assert len(host.asked) == 9
