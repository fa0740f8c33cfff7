"""What a capture would be refused for is known before it is tried, in Azure's words."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import libvirt
import pytest

from tests.fabric.idle_vm import idle_vm
from tests.fabric.on_guests import capture, new_fabric, qemu_img
from tests.lab.lab import Lab
from vmkeep.base.clock import FakeClock
from vmkeep.base.errors import VmkeepError
from vmkeep.fabric.capture import Capturer
from vmkeep.fabric.errors import HypervisorUnreachable
from vmkeep.model.disk_selection import DiskSelection


class LoneDomain:
    """A domain as libvirt tells of it, and the host that has only this one."""

    def __init__(self, xml: str, state: int, job: dict[str, int]) -> None:
        self._xml = xml
        self._state = state
        self._job = job

    def state(self) -> tuple[int, int]:
        return self._state, 0

    def jobStats(self) -> dict[str, int]:  # noqa: N802 - libvirt's name
        return self._job

    def hasManagedSaveImage(self) -> bool:  # noqa: N802 - libvirt's name
        return False

    def name(self) -> str:
        return "web01"

    def UUIDString(self) -> str:  # noqa: N802 - libvirt's name
        return "u-1"

    def XMLDesc(self, _flags: int = 0) -> str:  # noqa: N802 - libvirt's name
        return self._xml

    def get_domain(self, _uuid: str) -> "LoneDomain":
        return self


def obstacles(domain: LoneDomain, selection: DiskSelection | None = None) -> list[str]:
    host: Any = domain  # all that this needs of a host
    none: Any = None  # nor is anything else needed to look
    capturer = Capturer(host, none, none, none, FakeClock(), 10)
    return [str(error) for error in capturer.obstacles("u-1", selection)]


@pytest.fixture
def xml(tmp_path: Path) -> str:
    disks = []
    for name in ("vda", "vdb"):
        qemu_img("create", "-q", "-f", "qcow2", tmp_path / name, "16M")
        driver = "<driver name='qemu' type='qcow2'/>"
        source = f"<source file='{tmp_path / name}'/><target dev='{name}'/>"
        disks.append(f"<disk type='file' device='disk'>{driver}{source}</disk>")
    return f"<domain><name>web01</name><devices>{''.join(disks)}</devices></domain>"


@pytest.mark.parametrize("state", [libvirt.VIR_DOMAIN_RUNNING, libvirt.VIR_DOMAIN_SHUTOFF])
def test_running_vm_and_one_that_is_off_have_none(xml: str, state: int) -> None:
    assert obstacles(LoneDomain(xml, state, {"type": 0})) == []


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (libvirt.VIR_DOMAIN_PAUSED, "is paused"),
        (libvirt.VIR_DOMAIN_CRASHED, "is crashed"),
        (libvirt.VIR_DOMAIN_PMSUSPENDED, "is shutting down or suspended"),
    ],
)
def test_state_that_allows_no_backup_is_said_in_azures_words(xml: str, state: int, words: str) -> None:
    (told,) = obstacles(LoneDomain(xml, state, {}))
    assert told.startswith("VM is not in a state that allows backups.")
    assert words in told


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT, "is being migrated away"),
        (libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN, "is being migrated to this host"),
        (libvirt.VIR_DOMAIN_JOB_OPERATION_SAVE, "is being saved to disk"),
    ],
)
def test_vm_on_the_move_is_left_alone(xml: str, operation: int, words: str) -> None:
    (told,) = obstacles(LoneDomain(xml, libvirt.VIR_DOMAIN_RUNNING, {"operation": operation}))
    assert words in told


def test_all_obstacles_are_told_and_of_selected_disks_only(xml: str, tmp_path: Path) -> None:
    (tmp_path / "vdb").unlink()
    paused = LoneDomain(xml, libvirt.VIR_DOMAIN_PAUSED, {})
    state, vanished = obstacles(paused)
    assert "paused" in state
    assert "vdb (vdb) does not exist" in vanished
    without_data = DiskSelection(included=False, luns=(0,), names=("vdb",))
    assert len(obstacles(paused, without_data)) == 1


def test_host_that_does_not_answer_is_no_obstacle_of_the_vm(xml: str) -> None:
    class Unreachable(LoneDomain):
        def state(self) -> tuple[int, int]:
            raise HypervisorUnreachable("qemu:///system", "gone")

    with pytest.raises(HypervisorUnreachable):
        obstacles(Unreachable(xml, libvirt.VIR_DOMAIN_RUNNING, {}))


@pytest.mark.qemu
def test_capture_is_refused_for_what_was_told_beforehand(lab: Lab, tmp_path: Path) -> None:
    fabric = new_fabric(tmp_path)
    with idle_vm(lab, running=True) as vm, ExitStack() as undone:
        steps: list[tuple[Callable[[], object], str]] = [
            (vm.domain.suspend, "paused"),
            (vm.domain.resume, ""),
            (vm.domain.managedSave, "managed save"),
        ]
        undone.callback(vm.domain.managedSaveRemove)
        for step, words in steps:
            step()
            told = fabric.capture_obstacles(vm.uuid)
            assert [error.code for error in told] == ["UserErrorVmNotInDesirableState"] * bool(words)
            if words:
                assert words in str(told[0])
                with pytest.raises(VmkeepError) as refused:
                    capture(fabric, vm.uuid, "p1")
                assert str(refused.value) == str(told[0])
