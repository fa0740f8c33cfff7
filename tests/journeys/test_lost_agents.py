"""A guest that loses its agents is backed up all the same, one rung lower each time, and the reason is said."""

import pytest

from tests.journeys.conftest import wait_for_agent
from tests.journeys.service import RunningService
from tests.lab.guest import Guest
from tests.lab.lab import Lab

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900)]
NO_AZURE_AGENT, NO_GUEST_AGENT = "UserErrorGuestAgentStatusUnavailable", "GuestAgentSilent"

PAUSE_GUEST_AGENT = "systemctl stop qemu-guest-agent; sleep 20; systemctl start qemu-guest-agent walinuxagent"
"""Runs in the guest: it is without any agent for a while."""


def agent(service: RunningService, guest: Guest) -> str:
    return str(service.ask("vm", "show", guest.name)["properties"]["vmkeep"]["agent"])


def test_guest_that_loses_its_agents_is_backed_up_on_lower_rungs_and_restorable(
    protected: RunningService, guest: Guest, lab: Lab
) -> None:
    guest.run("systemctl", "stop", "walinuxagent")
    guest.wait_for(lambda: agent(protected, guest) == "silent", "its agent is silent")
    with guest.writer() as writes:
        job = protected.backup_now(guest.name)
    assert (job.status, job.warnings) == ("CompletedWithWarnings", [NO_AZURE_AGENT])
    assert job.facts["Consistency"] == "file-system"
    assert "Restart the agent (walinuxagent)" in job.message
    assert writes.longest_gap_s < 10

    guest.write_file("/data/proof", b"written without any agent")
    guest.run("systemd-run", "sh", "-c", PAUSE_GUEST_AGENT)
    guest.wait_for(lambda: not guest.answers(), "qemu-guest-agent is gone")
    job = protected.backup_now(guest.name)
    assert (job.status, job.warnings) == ("CompletedWithWarnings", [NO_AZURE_AGENT, NO_GUEST_AGENT])
    assert job.facts["Consistency"] == "crash"
    assert "Install or restart qemu-guest-agent" in job.message

    restored = protected.job("restore", "vm", "--vm", guest.name, "--name", "copy")
    assert restored.status == "Completed", restored.json
    copy = lab.get_guest("copy")
    copy.boot()
    assert copy.read_file("/data/proof") == b"written without any agent"
    copy.power_off()

    guest.wait_until_up()
    wait_for_agent(protected, guest)
    assert protected.backup_now(guest.name).status == "Completed"
    assert protected.findings() == []
