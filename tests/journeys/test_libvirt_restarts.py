"""libvirtd comes and goes: the service lives without it, jobs end clearly, guests write on."""

import pytest

from tests.journeys.conftest import wait_for_agent
from tests.journeys.service import RunningService
from tests.lab.guest import Guest
from tests.lab.lab import Lab

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900)]
UNREACHABLE = "HypervisorUnreachable"


def test_libvirtd_that_comes_and_goes_ends_no_service_and_breaks_no_vault(
    protected: RunningService, guest: Guest, lab: Lab
) -> None:
    transferred = protected.job_in("reading what changed", guest.name)
    lab.stop_libvirt()
    lab.start_libvirt(guest)
    assert protected.job("job", "wait", transferred.id).status == "Completed"

    with guest.writer() as writes:
        job = protected.job_in("presnapshot", guest.name)
        lab.stop_libvirt()
        lab.start_libvirt(guest)
        captured = protected.job("job", "wait", job.id)
    assert captured.error in {"", UNREACHABLE}, captured.json
    assert writes.longest_gap_s < 12
    assert protected.findings() == []

    protected.stop()
    lab.stop_libvirt()
    protected.start()
    assert '"server.host.not_served"' in protected.tail()
    assert [vault["name"] for vault in protected.ask("vault", "list")] == ["main"]
    out = lab.new_folder("out")
    disks = ("restore", "disks", "--vm", guest.name, "--to", str(out), "--disk", "vdb")
    assert protected.job(*disks).status == "Completed"
    assert "libvirt" in protected.refusal("vm", "list")
    lost = protected.backup_now(guest.name)
    assert (lost.status, lost.error) == ("Failed", UNREACHABLE)

    lab.start_libvirt(guest)
    wait_for_agent(protected, guest)
    assert protected.backup_now(guest.name).status == "Completed"
    assert protected.findings() == []
