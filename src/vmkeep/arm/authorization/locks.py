"""Management locks: on the subscription, on a resource group, on a resource."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, Response

from vmkeep.arm.authorization.lock_guard import LOCKS
from vmkeep.arm.errors import NotSupported, ResourceGroupNotFound, ResourceNotFound, SubscriptionNotFound
from vmkeep.arm.members import Body, Json, any_case
from vmkeep.arm.paging import page
from vmkeep.arm.resources.inventory import list_resources
from vmkeep.arm.service import Here, Service
from vmkeep.model.lock import Lock, LockLevel, is_within

router = APIRouter()
_LIST = f"/subscriptions/{{scope:path}}/providers/{LOCKS}"
_ONE = f"{_LIST}/{{lock_name}}"
_RESOURCE_DEPTH = 8
_DEPTHS = {2, 4, _RESOURCE_DEPTH}
"""Segments in the id of a subscription, of a resource group, of a top-level resource."""


class LockProperties(Body):
    """What a client wants of a lock."""

    level: Annotated[LockLevel, any_case(LockLevel)]
    notes: str = ""


class LockBody(Body):
    """A lock as clients send it."""

    properties: LockProperties


@router.put(_ONE)
def put_lock(here: Here, scope: str, lock_name: str, body: LockBody) -> JSONResponse:
    """Lock a scope, or change its lock."""
    locked = _existing(here, scope)
    lock = Lock(locked, lock_name, body.properties.level, here.clock.now(), body.properties.notes)
    is_new = here.catalog.put_lock(lock)
    return JSONResponse(_show(lock), status_code=201 if is_new else 200)


@router.get(_ONE)
def get_lock(here: Here, scope: str, lock_name: str) -> Json:
    """Return one lock of exactly that scope."""
    found = here.catalog.find_lock(_scope(here, scope), lock_name)
    if found is None:
        raise ResourceNotFound(type=LOCKS, name=lock_name, resource_group=_group_of(scope))
    return _show(found)


@router.delete(_ONE)
def delete_lock(here: Here, scope: str, lock_name: str) -> Response:
    """Unlock a scope; 204 when there is no such lock."""
    found = here.catalog.delete_lock(_scope(here, scope), lock_name)
    return Response(status_code=200 if found else 204)


@router.get(_LIST)
def list_locks(
    request: Request, here: Here, scope: str, filter_text: Annotated[str, Query(alias="$filter")] = ""
) -> Json:
    """Return the locks that reach a scope: of itself, of what is above and below; with `atScope()` its own only."""
    asked = _scope(here, scope)
    locks = [
        lock
        for lock in here.catalog.list_locks()
        if is_within(lock.scope, asked) or is_within(asked, lock.scope)
    ]
    if filter_text.replace(" ", "").lower() == "atscope()":
        locks = [lock for lock in locks if lock.scope.lower() == asked.lower()]
    return page(request, locks, _show)


def _scope(here: Service, path: str) -> str:
    """Return the ARM id that stands before the provider; raises SubscriptionNotFound."""
    subscription, _, below = path.partition("/")
    if subscription.lower() != here.subscription.lower():
        raise SubscriptionNotFound(id=subscription, known=here.subscription)
    return f"{here.ids.root}/{below}" if below else here.ids.root


def _existing(here: Service, path: str) -> str:
    """Return the scope; raises ResourceGroupNotFound, ResourceNotFound when there is nothing to lock.

    What is below a resource is refused: some of it has several names, and a lock must hold under each.
    """
    scope, group = _scope(here, path), _group_of(path)
    segments = scope.split("/")[1:]
    if len(segments) not in _DEPTHS or (group and segments[2].lower() != "resourcegroups"):
        raise NotSupported(
            what=f"locking {scope}", instead="Lock a resource, its resource group or the subscription."
        )
    if group and group.lower() not in {name.lower() for name in here.resource_groups()}:
        raise ResourceGroupNotFound(name=group, known=here.resource_group)
    is_resource = len(segments) == _RESOURCE_DEPTH
    if is_resource and not any(is_within(scope, str(one["id"])) for one in list_resources(here)):
        raise ResourceNotFound(type="/".join(segments[5:7]), name=segments[7], resource_group=group)
    return scope


def _group_of(path: str) -> str:
    segments = path.split("/")
    return segments[2] if len(segments) > 2 else ""  # noqa: PLR2004 - subscription/resourceGroups/group


def _show(lock: Lock) -> Json:
    return {
        "id": f"{lock.scope}/providers/{LOCKS}/{lock.name}",
        "name": lock.name,
        "type": LOCKS,
        "properties": {"level": lock.level.value, "notes": lock.notes},
    }
