"""The user's scripts: when they run, what a failing one costs, who may own them."""

import json
import os
import signal
from pathlib import Path

import pytest

from tests.guest.world import FakeHost, Guest, Kernel, enable, public_settings
from vmkeep_guest.errors import BackupFailed
from vmkeep_guest.scripts import POST, PRE, Scripts, find


def configure(guest: Guest, pre: str = "", post: str = "", **changes: object) -> Path:
    """Install scripts with these bodies; each first writes its name into `trace`."""
    trace = guest.azure / "trace"
    for name, body in (("pre", pre), ("post", post)):
        script = guest.azure / f"{name}.sh"
        script.write_text(f"printf '{name} %s;' \"$1\" >> {trace}\n{body}\n")
        script.chmod(0o700)
    config = {
        "pluginName": "ScriptRunner",
        "preScriptLocation": f"{guest.azure}/pre.sh",
        "postScriptLocation": f"{guest.azure}/post.sh",
        "preScriptParams": ["one", ""],
        "postScriptParams": [],
        "preScriptNoOfRetries": 0,
        "postScriptNoOfRetries": 0,
        "timeoutInSeconds": 30,
        "continueBackupOnFailure": True,
        "fsFreezeEnabled": True,
    }
    path = guest.azure / "VMSnapshotScriptPluginConfig.json"
    path.write_text(json.dumps(config | changes))
    path.chmod(0o600)
    return trace


def make_fifos(guest: Guest) -> tuple[Path, Path]:
    """One to hold a script back with, one for it to say that it has started."""
    gate, started = guest.azure / "gate", guest.azure / "started"
    os.mkfifo(gate)
    os.mkfifo(started)
    return gate, started


def back_up(guest: Guest, kernel: Kernel | None = None, number: int = 0) -> None:
    """Run `enable` and the background process that it leaves, to their ends."""
    guest.write_settings(number, public_settings(f"task-{number}"), {})
    enable(guest, number, kernel)
    os.wait()


def test_backup_between_scripts_is_application_consistent(
    guest: Guest, host: FakeHost, kernel: Kernel
) -> None:
    trace = configure(guest)
    seen = []
    host.on_call = lambda call: seen.append((call, trace.read_text() if trace.exists() else "", kernel.trace))
    back_up(guest, kernel)
    assert seen == [
        ("presnapshot", "", ""),
        ("presnapshot", "pre one;", ""),
        ("dosnapshot", "pre one;", "F"),
        ("postsnapshot", "pre one;", "FT"),
    ]
    assert trace.read_text() == "pre one;post ;"
    assert guest.status(0)["code"] == "0"
    assert guest.telemetry(0)["consistencyType"] == "applicationConsistent"
    assert guest.telemetry(0)["isPrePostEnabled"] == "true"


def test_enable_returns_while_scripts_run_with_code_4(guest: Guest, host: FakeHost) -> None:
    gate, started = make_fifos(guest)
    configure(guest, pre=f"echo > {started}; cat {gate}")
    guest.write_settings(0, public_settings(), {})
    enable(guest, 0)
    started.read_text()
    assert guest.status(0)["code"] == "4"
    enable(guest, 0)  # as the agent does when it is restarted
    assert guest.status(0)["code"] == "4"
    gate.write_text("")
    os.wait()
    assert guest.status(0)["code"] == "0"
    assert host.calls().count("dosnapshot") == 1


def test_task_that_comes_while_another_runs_waits_for_it(guest: Guest, host: FakeHost) -> None:
    gate, started = make_fifos(guest)
    configure(guest, pre=f"echo > {started}; cat {gate}")
    guest.write_settings(0, public_settings("first"), {})
    enable(guest, 0)
    started.read_text()
    (guest.azure / "VMSnapshotScriptPluginConfig.json").unlink()
    guest.write_settings(1, public_settings("second"), {})
    enable(guest, 1)
    assert guest.status(1)["code"] == "4"
    gate.write_text("")
    os.wait()
    os.wait()
    assert (guest.status(0)["code"], guest.status(1)["code"]) == ("0", "1")
    assert [body["taskId"] for call, body in host.asked if call == "dosnapshot"] == ["first", "second"]


def time_limit(pre: str, post: str) -> float:
    """Short only where it is meant to be reached."""
    return 1.0 if "sleep" in pre + post else 30.0


@pytest.mark.parametrize(
    ("pre", "post", "health"),
    [("exit 7", "", 300), ("", "exit 7", 301), ("sleep 60", "", 308), ("", "sleep 60", 309)],
)
def test_failing_script_lowers_the_consistency(  # noqa: PLR0917 - fixtures and parameters
    guest: Guest, host: FakeHost, kernel: Kernel, pre: str, post: str, health: int
) -> None:
    trace = configure(guest, pre, post, timeoutInSeconds=time_limit(pre, post))
    back_up(guest, kernel)
    assert guest.status(0)["code"] == "1"
    assert guest.report(0)["vmHealthInfo"] == {"vmHealthState": 128, "vmHealthStatusCode": health}
    assert guest.telemetry(0)["consistencyType"] == "fileSystemConsistent"
    assert "dosnapshot" in host.calls()
    assert trace.read_text() == "pre one;post ;"


@pytest.mark.parametrize(
    ("pre", "post", "code", "asked"),
    [("exit 7", "", "300", False), ("", "exit 7", "301", True), ("sleep 60", "", "308", False)],
)
def test_failing_script_stops_the_backup_when_so_configured(
    guest: Guest, host: FakeHost, pre: str, post: str, code: str, *, asked: bool
) -> None:
    trace = configure(guest, pre, post, timeoutInSeconds=time_limit(pre, post), continueBackupOnFailure=False)
    back_up(guest)
    assert guest.status(0)["code"] == code
    assert ("dosnapshot" in host.calls()) is asked
    assert trace.read_text() == "pre one;post ;"


def test_failed_post_script_still_reports_the_disks(guest: Guest, host: FakeHost) -> None:
    configure(guest, post="exit 7", continueBackupOnFailure=False)
    back_up(guest)
    assert guest.report(0)["snapshotInfo"][0]["isSuccessful"] is True
    assert "dosnapshot" in host.calls()


def test_post_script_runs_when_the_host_fails(guest: Guest, host: FakeHost, kernel: Kernel) -> None:
    host.answers["dosnapshot"] = (500, b"")
    trace = configure(guest)
    back_up(guest, kernel)
    assert guest.status(0)["code"] == "76"
    assert trace.read_text() == "pre one;post ;"


def test_scripts_may_stand_in_for_the_freeze(guest: Guest, host: FakeHost, kernel: Kernel) -> None:
    configure(guest, fsFreezeEnabled=False)
    back_up(guest, kernel)
    assert guest.status(0)["code"] == "0"
    assert kernel.trace == ""
    assert "dosnapshot" in host.calls()


def test_failed_pre_script_brings_the_freeze_back(guest: Guest, host: FakeHost, kernel: Kernel) -> None:
    configure(guest, pre="exit 7", fsFreezeEnabled=False)
    back_up(guest, kernel)
    assert kernel.trace == "FT"
    assert "dosnapshot" in host.calls()


def test_script_that_others_may_write_is_not_run(guest: Guest, host: FakeHost, kernel: Kernel) -> None:
    trace = configure(guest, continueBackupOnFailure=False)
    (guest.azure / "pre.sh").chmod(0o755)
    back_up(guest, kernel)
    assert guest.status(0)["code"] == "306"
    assert not trace.exists()
    assert "dosnapshot" not in host.calls()


def test_unusable_configuration_is_a_warning(guest: Guest, host: FakeHost, kernel: Kernel) -> None:
    configure(guest)
    (guest.azure / "VMSnapshotScriptPluginConfig.json").write_text("{")
    guest.write_settings(0, public_settings(), {})
    enable(guest, 0, kernel)
    assert guest.status(0)["code"] == "1"
    assert guest.report(0)["vmHealthInfo"]["vmHealthStatusCode"] == 305
    assert "dosnapshot" in host.calls()


def read(guest: Guest) -> Scripts:
    found = find(str(guest.azure), str(guest.azure), os.getuid())
    assert found
    return found


def test_timed_out_script_is_killed_with_all_it_started(guest: Guest) -> None:
    held = guest.azure / "held"
    os.mkfifo(held)
    configure(guest, pre=f"sleep 600 > {held} & wait", timeoutInSeconds=1)
    reader = os.open(held, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(BackupFailed) as caught:
        read(guest).run(PRE)
    assert caught.value.code == 308
    os.set_blocking(reader, True)
    assert os.read(reader, 1) == b""  # comes only when nobody holds the other end any more
    os.close(reader)


def test_output_of_a_script_is_kept(guest: Guest) -> None:
    configure(guest, pre="echo hello; echo trouble >&2; exit 1")
    with pytest.raises(BackupFailed, match="ended with code 1"):
        read(guest).run(PRE)
    assert (guest.azure / "pre-script.log").read_text() == "hello\ntrouble\n"


def test_missing_scripts_have_codes_of_their_own(guest: Guest) -> None:
    configure(guest)
    for stage, code in ((PRE, 302), (POST, 303)):
        (guest.azure / f"{stage.name}.sh").unlink()
        with pytest.raises(BackupFailed, match="was not found") as caught:
            read(guest).run(stage)
        assert caught.value.code == code


@pytest.mark.parametrize(("stage", "code"), [(PRE, 310), (POST, 311)])
def test_outer_time_limit_has_codes_of_its_own(guest: Guest, stage: object, code: int) -> None:
    configure(guest, pre="sleep 60", post="sleep 60")
    write_outer(guest, "[pre_post]\ntimeoutInSeconds: 0.2\n")
    with pytest.raises(BackupFailed) as caught:
        read(guest).run(PRE if stage is PRE else POST)
    assert caught.value.code == code


def write_outer(guest: Guest, text: str, mode: int = 0o600) -> None:
    path = guest.azure / "VMSnapshotPluginHost.conf"
    path.write_text(text)
    path.chmod(mode)


def test_no_configuration_means_no_scripts(guest: Guest) -> None:
    assert find(str(guest.azure), str(guest.azure), os.getuid()) is None


@pytest.mark.parametrize(("mode", "owner", "code"), [(0o640, 0, 317), (0o700, 0, 317), (0o600, 1, 318)])
def test_configuration_must_be_roots_alone(guest: Guest, mode: int, owner: int, code: int) -> None:
    configure(guest)
    (guest.azure / "VMSnapshotScriptPluginConfig.json").chmod(mode)
    assert refusal(guest, owner) == code


@pytest.mark.parametrize(
    ("text", "mode", "owner", "code"),
    [
        ("[pre_post]\ntimeoutInSeconds: soon\n", 0o600, 0, 304),
        ("nonsense", 0o600, 0, 304),
        ("", 0o644, 0, 314),
        ("", 0o600, 1, 315),
    ],
)
def test_outer_configuration_must_be_sound_and_roots_alone(
    guest: Guest, text: str, mode: int, owner: int, code: int
) -> None:
    configure(guest)
    write_outer(guest, text, mode)
    assert refusal(guest, owner) == code


@pytest.mark.parametrize("changes", [{"timeoutInSeconds": "soon"}, {"timeoutInSeconds": None}])
def test_configuration_that_makes_no_sense_is_305(guest: Guest, changes: dict[str, object]) -> None:
    configure(guest, **changes)  # type: ignore[arg-type]  # mypy takes them for the scripts' bodies
    assert refusal(guest, 0) == 305


def refusal(guest: Guest, owner_offset: int) -> int:
    with pytest.raises(BackupFailed) as caught:
        find(str(guest.azure), str(guest.azure), os.getuid() + owner_offset)
    return caught.value.code


def test_killed_background_process_leaves_a_failure_not_silence(guest: Guest, host: FakeHost) -> None:
    gate, started = make_fifos(guest)
    configure(guest, pre=f"echo $PPID > {started}; cat {gate}")
    guest.write_settings(0, public_settings(), {})
    enable(guest, 0)
    os.kill(int(started.read_text()), signal.SIGKILL)
    os.wait()
    gate.write_text("")
    enable(guest, 0)
    assert guest.status(0)["code"] == "2"
    assert "dosnapshot" not in host.calls()
