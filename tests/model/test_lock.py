"""What a lock forbids."""

from datetime import UTC, datetime

import pytest

from vmkeep.model.lock import Change, Lock, LockLevel, locks_against

SUBSCRIPTION = "/subscriptions/s"
GROUP = f"{SUBSCRIPTION}/resourceGroups/AzureBackupRG_local_1"
OTHER_GROUP = f"{GROUP}0"
VM = f"{GROUP}/providers/Microsoft.Compute/virtualMachines/web01"
BELOW_VM = f"{VM}/extensions/one"


def lock(scope: str, level: LockLevel = LockLevel.CAN_NOT_DELETE) -> Lock:
    return Lock(scope, "keep", level, datetime(2026, 1, 1, tzinfo=UTC))


@pytest.mark.parametrize("scope", [SUBSCRIPTION, GROUP, VM, VM.upper()])
@pytest.mark.parametrize("resource", [VM, BELOW_VM])
def test_locks_reach_downwards_whatever_the_case(scope: str, resource: str) -> None:
    assert lock(scope).forbids(resource, Change.DELETE)
    assert not lock(scope).forbids(resource, Change.WRITE)
    for change in Change:
        assert lock(scope, LockLevel.READ_ONLY).forbids(resource, change)


def test_what_holds_something_locked_is_not_deleted_but_may_be_written() -> None:
    read_only = lock(BELOW_VM, LockLevel.READ_ONLY)
    assert read_only.forbids(VM, Change.DELETE)
    assert read_only.forbids(GROUP, Change.DELETE)
    assert not read_only.forbids(VM, Change.WRITE)


@pytest.mark.parametrize("scope", [OTHER_GROUP, f"{VM}-2", "/subscriptions/s2"])
def test_a_name_that_merely_begins_alike_is_not_reached(scope: str) -> None:
    for change in Change:
        assert not lock(scope, LockLevel.READ_ONLY).forbids(VM, change)


def test_all_locks_in_the_way_are_named() -> None:
    locks = [lock(SUBSCRIPTION), lock(OTHER_GROUP), lock(VM)]
    assert [one.scope for one in locks_against(locks, VM, Change.DELETE)] == [SUBSCRIPTION, VM]
