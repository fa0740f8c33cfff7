"""The one place where management locks are enforced: every route passes it before it runs."""

from fastapi import Request

from vmkeep.arm.service import Here, Service
from vmkeep.model.lock import Change, locks_against
from vmkeep.workflows.errors import ScopeLocked

LOCKS = "Microsoft.Authorization/locks"
_ONLY_LOOK = {
    "backupstatus",
    "check",
    "vmkeepbackupoutlook",
    "vmkeepcollect",
    "vmkeepdiagnose",
    "vmkeeprepositorycheck",
}
"""POST actions that change nothing; `check` asks the locks itself when it is to repair."""
_CHANGES = {"DELETE": Change.DELETE, "PUT": Change.WRITE, "PATCH": Change.WRITE, "POST": Change.WRITE}


def refuse_locked(request: Request, here: Here) -> None:
    """Refuse a request that a lock forbids; raises ScopeLocked. Locks themselves can always be changed."""
    path, change = str(request.scope["path"]), _CHANGES.get(request.method)
    if change is None or not path.startswith("/subscriptions/") or f"/providers/{LOCKS}/" in path:
        return
    if request.method == "POST":
        path, _, action = path.rpartition("/")
        if action.lower() in _ONLY_LOOK:
            return
    check_locks(here, path, change)


def check_locks(here: Service, resource_id: str, change: Change) -> None:
    """Raise ScopeLocked when a lock forbids a change of a resource."""
    found = locks_against(here.catalog.list_locks(), resource_id, change)
    if found:
        raise ScopeLocked.by(found, resource_id, change)
