"""What people do to a protected VM behind the service's back: the next backup says it and goes on."""

import pytest

from tests.fabric.idle_vm import IdleVm, idle_vm
from tests.fabric.on_guests import layers_in
from tests.journeys.service import JobSeen, RunningService
from tests.lab.lab import Lab

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(300)]

OTHER_UUID = "3d1e0000-77cc-4c6b-9d52-0a7700000012"


def warned(job: JobSeen) -> list[str]:
    return [warning["code"] for warning in job.json["properties"]["vmkeep"]["warnings"]]


def change_and_back_up(service: RunningService, vm: IdleVm, lab: Lab) -> None:
    """Rename the VM, then define it anew with another UUID; back it up each time."""
    vm.domain.rename("web")
    vm.write("-P 2 2M 64k")
    assert warned(service.backup_now("idle")) == ["VmRenamed"]
    vm.redefine(lab.connection, uuid=OTHER_UUID)
    vm.write("-P 3 3M 64k")
    redefined = service.backup_now("web")
    assert warned(redefined) == ["VmRedefined"]
    assert int(redefined.facts["Bytes Read"]) < 1 << 20, "what changed is known all the same"
    assert service.backup_now("web").status == "Completed"


def test_vm_that_was_renamed_and_defined_anew_goes_on_as_the_same_item(
    service: RunningService, lab: Lab
) -> None:
    with idle_vm(lab, running=False) as vm:
        before, out = vm.disks(), lab.new_folder("out")
        service.ask("vault", "create", "main")
        service.ask("protection", "enable-for-vm", "--vm", "idle")
        vm.write("-P 1 1M 1M")
        assert service.backup_now("idle").status == "Completed"
        change_and_back_up(service, vm, lab)
        oldest = service.points("web")[-1]
        where = ("--to", str(out), "--format", "raw", "--recovery-point", oldest)
        assert service.job("restore", "disks", "--vm", "web", *where).status == "Completed"
        assert (out / "vda.raw").read_bytes()[1 << 20 : 3 << 20] == b"\1" * (1 << 20) + bytes(1 << 20)
        assert service.ask("fabric", "check", "--repair") == {"value": [], "repaired": []}
        service.ask("protection", "disable", "--vm", "web", "--delete-backup-data", "--yes")
        assert vm.disks() == before
        assert layers_in(vm.folder) == []
