"""Management locks: which of them forbid what. Pure: ARM ids in, locks out."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class LockLevel(StrEnum):
    """What a lock forbids; ARM's spelling."""

    CAN_NOT_DELETE = "CanNotDelete"
    READ_ONLY = "ReadOnly"


class Change(StrEnum):
    """What somebody wants to do to a resource; the words of ARM's error."""

    WRITE = "write"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Lock:
    """A lock on a scope: a subscription, a resource group or a resource, and all that is below it."""

    scope: str
    """ARM id of what is locked."""
    name: str
    level: LockLevel
    created: datetime
    notes: str = ""

    def forbids(self, resource_id: str, change: Change) -> bool:
        """Whether the lock stands against a change of a resource.

        Locks reach downwards. A resource is not deleted either when something below it is locked.
        """
        if change is Change.WRITE:
            return self.level is LockLevel.READ_ONLY and is_within(resource_id, self.scope)
        return is_within(resource_id, self.scope) or is_within(self.scope, resource_id)


def is_within(resource_id: str, scope: str) -> bool:
    """Whether an ARM id is a scope itself or something below it; case does not count."""
    return f"{resource_id}/".lower().startswith(f"{scope}/".lower())


def locks_against(locks: Iterable[Lock], resource_id: str, change: Change) -> tuple[Lock, ...]:
    """Return the locks that forbid a change of a resource."""
    return tuple(lock for lock in locks if lock.forbids(resource_id, change))
