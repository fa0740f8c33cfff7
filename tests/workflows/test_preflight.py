"""What is refused before a guest is touched, and what the outlook tells beforehand."""

from dataclasses import replace

import pytest

from tests.catalog.records import ITEM, POINT, RESTORE_POINT
from tests.fakes.fabric import BLOCK, FakeFabric
from tests.fakes.key_vaults import OutOfReach
from tests.fakes.repository import StoreUnreachable
from tests.workflows.world import LIMITS, World
from vmkeep.base.errors import VmkeepError
from vmkeep.base.units import GIB
from vmkeep.model.disk_key import KeyReference
from vmkeep.model.disk_selection import DiskSelection
from vmkeep.model.job import JobStatus
from vmkeep.model.machine import AgentState, Consistency, Disk, DiskFormat, MachineState, VirtualMachine
from vmkeep.model.outlook import Outlook, Weight
from vmkeep.model.protection import ProtectedItem, ProtectionState
from vmkeep.workflows import preflight
from vmkeep.workflows.errors import NotActivelyProtected
from vmkeep.workflows.limits import Limits

WITHOUT_DATA = DiskSelection(included=True, luns=(), names=())


def machine(*sizes: int) -> VirtualMachine:
    disks = (
        Disk(f"vd{'abc'[lun + 1]}", lun, "/images/x", DiskFormat.RAW, size)
        for lun, size in enumerate(sizes, start=-1)
    )
    return VirtualMachine("u-1", "web01", MachineState.RUNNING, tuple(disks))


def facts(*sizes: int, selection: DiskSelection | None = None, restore_points: int = 0) -> preflight.Facts:
    item = replace(ITEM, disk_selection=selection)
    return preflight.Facts(item, machine(*sizes), restore_points, Limits(disks=2))


def refusals(given: preflight.Facts) -> list[str]:
    return [error.code for error in preflight.broken_rules(given)]


def weights(outlook: Outlook) -> dict[str, Weight]:
    """Return the heaviest line of each subject."""
    order = list(Weight)
    found: dict[str, Weight] = {}
    for line in outlook.lines:
        found[line.subject] = max(found.get(line.subject, Weight.GOOD), line.weight, key=order.index)
    return found


def test_limit_of_disk_size_is_azures_4095_gb_unless_set() -> None:
    assert refusals(facts(4095 * GIB)) == []
    (error,) = preflight.broken_rules(facts(GIB, 5120 * GIB))
    assert error.code == "UserErrorUnsupportedDiskSize"
    assert str(error) == "The configured disk size(s) is currently not supported by Azure Backup."
    assert "Of VM 'web01', disk vdb has 5120 GB; the limit is 4095 GB." in error.advice


def test_every_disk_over_the_limit_is_named() -> None:
    (error,) = preflight.broken_rules(facts(4096 * GIB, 4095 * GIB + 1))
    assert "disk vda has 4096 GB, disk vdb has 4096 GB" in error.advice


def test_disk_that_is_left_out_may_have_any_size() -> None:
    assert refusals(facts(GIB, 5120 * GIB, selection=WITHOUT_DATA)) == []


def test_all_broken_rules_are_told() -> None:
    found = refusals(facts(GIB, GIB, 5120 * GIB, restore_points=18))
    assert found == [
        "UserErrorUnsupportedDiskSize",
        "UserErrorBcmUnsupportedDiskCount",
        "UserErrorRpCollectionLimitReached",
    ]
    assert refusals(facts(GIB, GIB, 5120 * GIB, selection=WITHOUT_DATA)) == []


def test_restore_points_of_an_old_vault_count(world: World) -> None:
    old, new = moved_to_a_new_vault(world)
    [point] = world.points(old)
    for number in range(17):
        world.catalog.put_recovery_point(replace(point, id=f"{old.id}-{number}", restore_point=RESTORE_POINT))
    job = world.back_up(new)
    assert job.error
    assert job.error.code == "UserErrorRpCollectionLimitReached"


def moved_to_a_new_vault(world: World) -> tuple[ProtectedItem, ProtectedItem]:
    """Protect and back up a VM, stop, protect it in another vault; return both items."""
    old, other = world.protect(), world.protect()
    world.expired(world.back_up(old))
    world.catalog.update_item(old.id, state=ProtectionState.PROTECTION_STOPPED)
    new = replace(old, id=f"new-{old.id}", vault_id=other.vault_id)
    world.catalog.put_item(new)
    return world.catalog.get_item(old.id), new


def test_outlook_of_a_sound_vm_is_good(world: World) -> None:
    item = world.protect()
    world.back_up(item)
    outlook = world.engine.outlook(item.vm_uuid)
    assert not outlook.failures
    assert (outlook.vm_name, outlook.vault_id) == (item.vm_name, item.vault_id)
    assert weights(outlook) == {
        "Protection": Weight.GOOD,
        "Disks": Weight.GOOD,
        "Restore points": Weight.GOOD,
        "Capture": Weight.GOOD,
        "Agent": Weight.WARNING,  # qemu-guest-agent only
        "Network": Weight.GOOD,
        "Repository": Weight.GOOD,
        "Last backup": Weight.GOOD,
    }


@pytest.mark.parametrize("rule", preflight.RULES, ids=lambda rule: rule.__name__)
def test_outlook_fails_for_every_rule_that_fails_a_backup(world: World, rule: preflight.Rule) -> None:
    item = world.protect(disks={"vda": BLOCK, **{f"vd{n}": 1025 * BLOCK for n in range(33)}})
    world.catalog.update_item(item.id, state=ProtectionState.PROTECTION_STOPPED)
    world.fabric.encrypt(item.vm_uuid, "vda", "nobody knows where it is")
    closed, silent = KeyReference("closed", "key"), KeyReference("silent", "key")
    world.fabric.encrypt(item.vm_uuid, "vd0", "secret", closed)
    world.fabric.encrypt(item.vm_uuid, "vd1", "secret", silent)
    world.key_vaults.missing["closed"] = ["keys get"]
    world.key_vaults.unreachable.add("silent")
    for number in range(18):
        point = replace(POINT, id=f"{item.id}-{number}", item_id=item.id)
        world.catalog.put_recovery_point(point)
    item = world.catalog.get_item(item.id)
    given = preflight.Facts(
        item,
        world.fabric.get_machine(item.vm_uuid),
        18,
        LIMITS,
        rights={closed: world.key_vaults.find_rights(closed)},
        key_error=OutOfReach(key_vault="silent"),
    )
    error = rule(given)
    assert error
    assert error.code in {line.code for line in world.engine.outlook(item.vm_uuid).failures}


def test_outlook_shows_everything_that_is_wrong(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    item = world.protect(disks={"vda": BLOCK, "vdb": 1025 * BLOCK})
    monkeypatch.setattr(world.fabric, "obstacles", (StoreUnreachable(),))
    world.hook.raising("repository: opened", StoreUnreachable())
    found = weights(world.engine.outlook(item.vm_uuid))
    failing = {subject for subject, weight in found.items() if weight is Weight.FAILURE}
    assert failing == {"Disks", "Capture", "Repository"}
    assert world.catalog.list_jobs(item_id=item.id) == []
    assert world.fabric.layers(item.vm_uuid) == [None]


def test_vm_that_nobody_protects_has_no_good_outlook(world: World) -> None:
    uuid = world.fabric.add_machine("stranger", {"vda": BLOCK})
    (failure,) = world.engine.outlook(uuid).failures
    assert (failure.code, failure.subject) == ("VmNotProtected", "Protection")
    assert "vmkeep protection enable-for-vm --vm stranger" in failure.advice


def test_outlook_says_which_rung_to_expect(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    item = world.protect()
    seen = world.fabric.get_machine(item.vm_uuid)

    def agent_line(**changes: object) -> tuple[Weight, str]:
        looked_at = replace(seen, **changes)  # type: ignore[arg-type] # any field
        monkeypatch.setattr(world.fabric, "get_machine", lambda _: looked_at)
        (line,) = [one for one in world.engine.outlook(item.vm_uuid).lines if one.subject == "Agent"]
        return line.weight, line.message

    assert agent_line(agent=AgentState.READY, agent_version="2.9") == (
        Weight.GOOD,
        "ready, version 2.9: file-system-consistent or better",
    )
    weight, message = agent_line(agent=AgentState.SILENT, guest_agent=False)
    assert (weight, "crash-consistent" in message) == (Weight.WARNING, True)
    assert agent_line(state=MachineState.OFF)[0] is Weight.GOOD
    world.catalog.update_item(item.id, least_consistency=Consistency.FILE_SYSTEM)
    assert agent_line(agent=AgentState.SILENT, guest_agent=True)[0] is Weight.WARNING
    assert agent_line(agent=AgentState.SILENT, guest_agent=False)[0] is Weight.FAILURE


def test_vm_off_the_attached_networks_is_told_which_to_attach(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = world.protect()
    networks = [replace(network, attached=False) for network in FakeFabric.list_networks(world.fabric)]
    monkeypatch.setattr(world.fabric, "list_networks", lambda: networks)
    (line,) = [one for one in world.engine.outlook(item.vm_uuid).lines if one.subject == "Network"]
    assert (line.weight, line.advice) == (Weight.WARNING, "Attach it: vmkeep fabric attach vmkeep")


def test_stopped_item_is_not_backed_up_until_it_is_resumed(world: World) -> None:
    item = world.protect()
    world.catalog.update_item(item.id, state=ProtectionState.BACKUPS_SUSPENDED)
    with pytest.raises(NotActivelyProtected) as refused:
        world.engine.start_backup(world.catalog.get_item(item.id), reason="test")
    assert refused.value.code == "UserErrorBcmDatasourceNotPresent"
    world.catalog.update_item(item.id, state=ProtectionState.IR_PENDING)
    assert world.back_up(world.catalog.get_item(item.id)).status is JobStatus.COMPLETED


def test_item_stopped_after_its_job_was_made_is_not_backed_up(world: World) -> None:
    item = world.protect()
    stop = lambda: world.catalog.update_item(item.id, state=ProtectionState.PROTECTION_STOPPED)  # noqa: E731
    world.hook.at("Take Snapshot: begun", stop)
    job = world.back_up(item)
    assert job.error
    assert job.error.code == "UserErrorBcmDatasourceNotPresent"


def test_preflight_errors_have_a_remedy() -> None:
    broken: list[VmkeepError] = preflight.broken_rules(facts(GIB, GIB, 5120 * GIB, restore_points=18))
    assert all(error.advice for error in broken)
