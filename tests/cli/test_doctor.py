"""`vmkeep doctor` tells the proven cause, and its remedy is followed by the same look and a backup."""

import json

from tests.arm.running import Running
from tests.cli.conftest import Vmkeep
from tests.diagnosis.scenes import HEALTHY, SCENES, STOPPED


def test_doctor_names_the_proven_cause_and_what_was_seen(vmkeep: Vmkeep, running: Running) -> None:
    running.engine.seen = STOPPED
    told = vmkeep("doctor", "--vm", "web01", fails=True).stdout
    assert "proven A2" in told
    assert "agent-process" in told


def test_doctor_prints_the_apis_own_json(vmkeep: Vmkeep, running: Running) -> None:
    running.engine.seen = HEALTHY
    found = json.loads(vmkeep("doctor", "--vm", "web01", "-o", "json").stdout)
    assert found["outcome"] == "not-proven"
    assert found["cause"] is None


def test_applied_remedy_is_proven_by_a_new_look_and_a_backup(vmkeep: Vmkeep, running: Running) -> None:
    vmkeep("vault", "create", "main")
    vmkeep("protection", "enable-for-vm", "--vm", "web01")
    running.engine.seen, running.engine.seen_when_mended = STOPPED, HEALTHY
    assert "Completed" in vmkeep("doctor", "--vm", "web01", "--apply").stdout


def test_what_only_a_person_can_do_is_not_applied(vmkeep: Vmkeep, running: Running) -> None:
    running.engine.seen = SCENES["A1"]
    assert "NothingToApply" in vmkeep("doctor", "--vm", "web01", "--apply", fails=True).stderr


def test_remedy_that_takes_something_away_is_asked_for(vmkeep: Vmkeep, running: Running) -> None:
    vmkeep("vault", "create", "main")
    vmkeep("protection", "enable-for-vm", "--vm", "web01")
    running.engine.seen, running.engine.seen_when_mended = SCENES["R1"], HEALTHY
    asked = vmkeep("doctor", "--vm", "web01", "--apply", fails=True)
    assert "proven R1" in asked.stdout + asked.stderr
    assert running.engine.seen == SCENES["R1"]
    assert "Completed" in vmkeep("doctor", "--vm", "web01", "--apply", "--yes").stdout


def test_agent_is_told_to_log_more_and_as_usual_again(vmkeep: Vmkeep, running: Running) -> None:
    assert "says more" in vmkeep("doctor", "--vm", "web01", "--verbose-logs").stderr
    assert list(running.engine.verbose_logs.values()) == [True]
    vmkeep("doctor", "--vm", "web01", "--normal-logs")
    assert list(running.engine.verbose_logs.values()) == [False]
