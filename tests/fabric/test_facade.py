"""What needs no hypervisor: the facade fits where it is used, and says so when libvirt is away."""

from pathlib import Path

import pytest

from vmkeep.arm.ports import FabricPort as ApiPort
from vmkeep.base.clock import FakeClock
from vmkeep.fabric.errors import HypervisorUnreachable, RestorePointUnknown
from vmkeep.fabric.fabric import Fabric
from vmkeep.model.machine import Consistency
from vmkeep.model.restore_point import RestorePoint
from vmkeep.workflows.ports import FabricPort as WorkflowsPort


@pytest.fixture
def fabric(tmp_path: Path) -> Fabric:
    nowhere = f"qemu+unix:///system?socket={tmp_path}/nobody"
    return Fabric(uri=nowhere, state_dir=tmp_path, clock=FakeClock(), wire=None)


def test_fabric_is_what_workflows_and_api_ask_for(fabric: Fabric) -> None:
    for_workflows: WorkflowsPort = fabric
    for_api: ApiPort = fabric
    assert [for_workflows, for_api] == [fabric, fabric]


def test_absent_libvirt_is_said_and_worth_trying_again(fabric: Fabric) -> None:
    with pytest.raises(HypervisorUnreachable, match="does not answer") as caught:
        fabric.list_machines()
    assert caught.value.retry == "later"


def test_reading_a_point_that_this_host_never_held_is_refused(fabric: Fabric) -> None:
    point = RestorePoint("p1", "u", "vm", FakeClock().now(), Consistency.CRASH, (), "<domain/>")
    with pytest.raises(RestorePointUnknown, match="p1"):
        fabric.sources(point, since=None)


def test_merging_a_point_that_is_gone_is_no_error(fabric: Fabric) -> None:
    point = RestorePoint("p1", "u", "vm", FakeClock().now(), Consistency.CRASH, (), "<domain/>")
    fabric.merge(point, on_progress=lambda _done, _all: None, cancelled=lambda: False)
