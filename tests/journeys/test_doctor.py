"""One guest falls ill in several ways; the doctor proves each cause, mends what it can, and blames nobody wrongly."""

from typing import Any

import pytest

from tests.journeys.conftest import wait_for_agent
from tests.journeys.service import RunningService
from tests.lab.guest import Guest

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900)]


def test_causes_are_proven_mended_and_refuted_afterwards(protected: RunningService, guest: Guest) -> None:
    assert found(protected, guest)["cause"] is None
    stopped_agent_is_proven_by_itself_and_started(protected, guest)
    firewall_is_proven_and_left_to_its_owner(protected, guest)


def stopped_agent_is_proven_by_itself_and_started(service: RunningService, guest: Guest) -> None:
    guest.run("systemctl", "disable", "--now", "walinuxagent")
    job = service.backup_now(guest.name)
    assert job.status == "CompletedWithWarnings"
    seen = guest.wait_for(lambda: verdict(service, job.id), "the verdict is on the job")
    assert seen.startswith("proven A2")
    shown = service.run("job", "show", job.id).out
    assert "agent-active = inactive" in shown
    mended = service.run("doctor", "--vm", guest.name, "--apply")
    assert mended.code == 0, mended
    assert "A2 is refuted now" in mended.err
    assert guest.run("systemctl", "is-enabled", "walinuxagent").strip() == "enabled"


def firewall_is_proven_and_left_to_its_owner(service: RunningService, guest: Guest) -> None:
    guest.run("iptables", "-I", "OUTPUT", "-d", "168.63.129.16", "-j", "DROP")
    until(service, guest, "N3")
    assert "NothingToApply" in service.refusal("doctor", "--vm", guest.name, "--apply")
    guest.run("iptables", "-D", "OUTPUT", "-d", "168.63.129.16", "-j", "DROP")
    wait_for_agent(service, guest)
    assert found(service, guest)["cause"] is None


def until(service: RunningService, guest: Guest, cause: str) -> None:
    """Wait until a cause is proven; nothing else may be proven before."""

    def proven() -> bool:
        cause_now = found(service, guest)["cause"]
        assert cause_now is None or cause_now["id"] == cause, cause_now
        return cause_now is not None

    guest.wait_for(proven, f"{cause} is proven", limit_s=120)


def found(service: RunningService, guest: Guest) -> Any:  # JSON
    return service.job("doctor", "--vm", guest.name).json


def verdict(service: RunningService, job_id: str) -> str:
    return service.job("job", "show", job_id).facts.get("Verdict", "")
