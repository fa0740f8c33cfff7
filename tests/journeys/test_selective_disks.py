"""Which disks are backed up, which are too large, and what check-vm says of it beforehand."""

from collections.abc import Iterator

import pytest

from tests.fabric.idle_vm import IdleVm, idle_vm
from tests.fabric.on_guests import layers_in, qemu_img
from tests.journeys.service import RunningService
from tests.lab.guest import Guest
from tests.lab.lab import Lab
from vmkeep.base.units import TIB

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900)]

HUGE_DISK = """<disk type='file' device='disk'>
  <driver name='qemu' type='qcow2'/><source file='{path}'/><target dev='vdb' bus='virtio'/>
</disk>"""


@pytest.fixture
def vm_with_huge_disk(lab: Lab) -> Iterator[IdleVm]:
    """A VM that is off, its third disk sparse and of 5 TB."""
    with idle_vm(lab, running=False) as vm:
        vm.write("-P 3 1M 64k")
        path = vm.folder / "huge.qcow2"
        qemu_img("create", "-q", "-f", "qcow2", path, "5T")
        vm.domain.attachDeviceFlags(HUGE_DISK.format(path=path))
        yield vm


def test_disk_over_the_limit_is_told_refused_and_can_be_left_out(
    service: RunningService, vm_with_huge_disk: IdleVm
) -> None:
    service.ask("vault", "create", "main")
    assert service.run("protection", "check-vm", "--vm", "idle").code == 1
    service.ask("protection", "enable-for-vm", "--vm", "idle")
    told = service.run("protection", "check-vm", "--vm", "idle")
    assert told.code == 1
    assert "UserErrorUnsupportedDiskSize" in told.out
    assert "disk vdb has 5120 GB; the limit is 4095 GB" in " ".join(told.out.split())

    refused = service.backup_now("idle")
    assert (refused.status, refused.error) == ("Failed", "UserErrorUnsupportedDiskSize")
    assert refused.message.startswith(
        "The configured disk size(s) is currently not supported by Azure Backup."
    )
    assert "disk vdb has 5120 GB; the limit is 4095 GB" in refused.message
    assert layers_in(vm_with_huge_disk.folder) == []

    lun = next(disk["lun"] for disk in disks_of(service, "idle") if disk["name"] == "vdb")
    exclude = ("--disk-list-setting", "exclude", "--diskslist", str(lun))
    service.ask("protection", "update-for-vm", "--vm", "idle", *exclude)
    assert service.run("protection", "check-vm", "--vm", "idle").code == 0
    assert service.backup_now("idle").status == "Completed"
    assert len(layers_in(vm_with_huge_disk.folder)) == 2

    service.stop()
    service.settings["VMKEEP_DISK_LIMIT_GB"] = "65536"
    service.start()
    reset = ("--disk-list-setting", "resetexclusionsettings")
    service.ask("protection", "update-for-vm", "--vm", "idle", *reset)
    whole = service.backup_now("idle")
    assert whole.error == ""
    assert int(whole.facts["Bytes Total"]) < TIB
    (point, _) = service.ask("recoverypoint", "list", "--vm", "idle")
    kept = point["properties"]["recoveryPointDiskConfiguration"]["includedDiskList"]
    assert {disk["name"]: disk["diskSizeInGb"] for disk in kept} == {"vda": 1, "sda": 1, "vdb": 5120}
    service.ask("protection", "disable", "--vm", "idle", "--delete-backup-data", "--yes")
    assert (layers_in(vm_with_huge_disk.folder), service.findings()) == ([], [])


def disks_of(service: RunningService, vm: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = service.ask("vm", "show", vm)["properties"]["vmkeep"]["disks"]
    return found


def test_each_point_is_restored_with_the_disks_it_has(
    protected: RunningService, guest: Guest, lab: Lab
) -> None:
    exclude = ("--disk-list-setting", "exclude", "--diskslist", "0")
    protected.ask("protection", "update-for-vm", "--vm", guest.name, *exclude)
    told = protected.ask("protection", "check-vm", "--vm", guest.name)
    assert (told["willWork"], {line["weight"] for line in told["lines"]}) == (True, {"good"})
    for path in ("/root/first", "/data/first"):
        guest.write_file(path, b"before" * 100_000)
    without_data = protected.backup_now(guest.name)
    assert (without_data.status, without_data.facts["Consistency"]) == ("Completed", "file-system")
    assert [".vmkeep-" in path.name for path in guest.disks.values()] == [True, False]

    guest.write_file("/data/second", b"between" * 100_000)
    reset = ("--disk-list-setting", "resetexclusionsettings")
    protected.ask("protection", "update-for-vm", "--vm", guest.name, *reset)
    whole = protected.backup_now(guest.name)
    assert (whole.error, whole.warnings) == ("", ["WholeDiskRead"])
    held = {path: guest.digest(path) for path in ("/root/first", "/data/first", "/data/second")}

    protected.ask("protection", "disable", "--vm", guest.name, "--retain")
    refused = protected.refusal("protection", "backup-now", "--vm", guest.name)
    assert "This virtual machine is not (actively) protected by Azure Backup" in refused
    with_both, with_one = protected.points(guest.name)
    for name, point, paths in (
        ("copy-both", with_both, set(held)),
        ("copy-one", with_one, {"/root/first"}),
    ):
        job = protected.job("restore", "vm", "--vm", guest.name, "--recovery-point", point, "--name", name)
        assert job.status == "Completed", job.json
        copy = lab.get_guest(name)
        assert set(copy.disks) == ({"vda", "vdb"} if len(paths) > 1 else {"vda"})
        assert ("vdb (LUN 0)" in job.facts.get("Detached Disks", "")) == (len(paths) == 1)
        copy.boot()
        assert {path: copy.digest(path) for path in paths} == {path: held[path] for path in paths}
        copy.power_off()
