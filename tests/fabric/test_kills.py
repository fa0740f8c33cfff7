"""Killed at any step, the fabric knows afterwards what it holds, and finishes or undoes it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fabric.idle_vm import IdleVm, idle_vm
from tests.fabric.killed_capture import MERGE_STEPS, STEPS
from tests.fabric.on_guests import apply, capture, layers_in, merge, new_fabric, qemu_img, reads_as
from tests.lab.lab import Lab
from vmkeep.fabric.fabric import Fabric
from vmkeep.model.machine import Consistency

pytestmark = pytest.mark.qemu

KILLED = 9


@pytest.fixture
def fabric(tmp_path: Path) -> Fabric:
    return new_fabric(tmp_path / "state")


@pytest.fixture(params=["running", "off"])
def vm(lab: Lab, request: pytest.FixtureRequest) -> Iterator[IdleVm]:
    with idle_vm(lab, running=request.param == "running") as found:
        yield found


def run_until_killed(tmp_path: Path, vm: IdleVm, step: str) -> None:
    command = [sys.executable, "-m", "tests.fabric.killed_capture", str(tmp_path / "state"), vm.uuid, step]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == KILLED, done.stderr


@pytest.mark.parametrize("step", STEPS)
def test_killed_capture_is_found_or_can_be_made_again(
    fabric: Fabric, vm: IdleVm, tmp_path: Path, step: str
) -> None:
    vm.write("-P 1 1M 1M")
    run_until_killed(tmp_path, vm, step)
    found = fabric.find_point(vm.uuid, "p1")
    if step in {"after layers", "after completion"}:
        assert found is not None
        assert found.consistency is Consistency.CRASH
        interrupted = [warned.code for warned in found.warnings] == ["CaptureInterrupted"]
        assert interrupted == (step == "after layers")
    else:
        assert found is None
    point = capture(fabric, vm.uuid, "p1")
    assert found is None or point == found
    vm.write("-P 2 1M 1M")
    with fabric.sources(point, since=None) as disks:
        for source, disk in zip(disks.disks, point.disks, strict=True):
            apply(source, tmp_path / disk.name)
            assert source.read(1 << 20, 4) == b"\1\1\1\1"
            assert reads_as(disk, tmp_path / disk.name)


@pytest.mark.parametrize("step", STEPS)
def test_killed_capture_can_be_discarded_and_leaves_nothing(
    fabric: Fabric, vm: IdleVm, tmp_path: Path, step: str
) -> None:
    before = vm.disks()
    vm.write("-P 1 1M 1M")
    run_until_killed(tmp_path, vm, step)
    vm.write("-P 2 3M 1M")
    now = vm.content(tmp_path / "now")
    fabric.discard_capture(vm.uuid, "p1")
    fabric.discard_capture(vm.uuid, "p1")
    assert fabric.find_point(vm.uuid, "p1") is None
    assert vm.disks() == before
    assert layers_in(vm.folder) == []
    assert fabric.check() == []
    qemu_img("compare", "-f", "raw", "-F", "raw", now, vm.content(tmp_path / "later"))


@pytest.mark.parametrize("step", MERGE_STEPS)
def test_killed_merge_is_finished_by_the_next_one(
    fabric: Fabric, vm: IdleVm, tmp_path: Path, step: str
) -> None:
    before = vm.disks()
    first = capture(fabric, vm.uuid, "p1")
    vm.write("-P 1 1M 1M")
    second = capture(fabric, vm.uuid, "p2")
    with fabric.sources(second, since=None) as disks:
        apply(disks.disks[-1], tmp_path / "copy")
    vm.write("-P 2 2M 1M")
    now = vm.content(tmp_path / "now")
    run_until_killed(tmp_path, vm, step)
    assert fabric.find_point(vm.uuid, "p1") is None
    assert [warned.code for warned in fabric.check()].count("UnfinishedRestorePoint") == 1
    merge(fabric, first)
    merge(fabric, first)
    left = fabric.find_point(vm.uuid, "p2")
    assert left is not None
    assert reads_as(left.disks[-1], tmp_path / "copy")
    merge(fabric, left)
    assert vm.disks() == before
    assert layers_in(vm.folder) == []
    assert fabric.check() == []
    qemu_img("compare", "-f", "raw", "-F", "raw", now, vm.content(tmp_path / "later"))
