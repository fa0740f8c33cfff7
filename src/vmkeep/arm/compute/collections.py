"""Restore point collections: list, look, delete. They are made by backups only."""

from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from vmkeep.arm.compute.collection_answer import (
    Collection,
    list_collections,
    show_collection,
    show_restore_point,
)
from vmkeep.arm.errors import OperationNotFound, ResourceNotFound
from vmkeep.arm.members import Json
from vmkeep.arm.operations import accepted_at, result_answer, status_answer
from vmkeep.arm.paging import page
from vmkeep.arm.service import Here, Service
from vmkeep.catalog.errors import JobNotFound
from vmkeep.model.collection import COLLECTIONS

router = APIRouter()
_SUBSCRIPTION = "/subscriptions/{subscription}"
_LIST = f"{_SUBSCRIPTION}/resourceGroups/{{group}}/providers/{COLLECTIONS}"
_ONE = f"{_LIST}/{{collection_name}}"
_POINT = f"{_ONE}/restorePoints/{{restore_point}}"
_OPERATION = f"{_SUBSCRIPTION}/providers/Microsoft.Compute/locations/{{location}}/operations/{{operation_id}}"
Expand = Annotated[str, Query(alias="$expand")]
Force = Annotated[bool, Query(alias="forceDeletion")]


@router.get(f"{_SUBSCRIPTION}/providers/{COLLECTIONS}")
def list_all(request: Request, here: Here) -> Json:
    """Return all collections."""
    return page(request, list_collections(here), lambda one: show_collection(here, one, with_points=False))


@router.get(_LIST)
def list_of_group(request: Request, here: Here, group: str) -> Json:
    """Return the collections of a resource group: all of them, or none."""
    found = list_collections(here) if group.lower() == here.place.resource_group.lower() else []
    return page(request, found, lambda one: show_collection(here, one, with_points=False))


@router.get(_ONE)
def get(here: Here, group: str, collection_name: str, expand: Expand = "") -> Json:
    """Return one collection, with its restore points when asked."""
    found = _get(here, group, collection_name)
    return show_collection(here, found, with_points=expand.lower() == "restorepoints")


@router.delete(_ONE)
def delete(
    request: Request, here: Here, group: str, collection_name: str, *, force: Force = False
) -> Response:
    """Start deleting all restore points of a VM; its recovery points stay as far as they are in the vault."""
    found = _find(here, group, collection_name)
    if found is None:
        return Response(status_code=204)
    every = tuple(restore_point.id for restore_point, _ in found.points)
    return _delete(request, here, found, every, force=force)


@router.get(_POINT)
def get_point(here: Here, group: str, collection_name: str, restore_point: str) -> Json:
    """Return one restore point."""
    found = _get(here, group, collection_name)
    for one, point in found.points:
        if one.id == restore_point.lower():
            return show_restore_point(here, found, one, point)
    raise ResourceNotFound(type=f"{COLLECTIONS}/restorePoints", name=restore_point, resource_group=group)


@router.delete(_POINT)
def delete_point(
    *,
    request: Request,
    here: Here,
    group: str,
    collection_name: str,
    restore_point: str,
    force: Force = False,
) -> Response:
    """Start deleting one restore point; 204 when there is none."""
    found = _find(here, group, collection_name)
    wanted = restore_point.lower()
    if found is None or wanted not in {one.id for one, _ in found.points}:
        return Response(status_code=204)
    return _delete(request, here, found, (wanted,), force=force)


@router.get(_OPERATION)
def operation(request: Request, here: Here, location: str, operation_id: str) -> Response:  # noqa: ARG001 - one location only
    """Return how a deletion stands; with `monitor=true`, 202 while it runs."""
    try:
        job = here.catalog.get_job(operation_id)
    except JobNotFound as error:
        raise OperationNotFound(id=operation_id) from error
    monitored = request.query_params.get("monitor") == "true"
    return result_answer(job) if monitored else status_answer(job, request.url.path)


def _delete(
    request: Request, here: Service, collection: Collection, restore_points: tuple[str, ...], *, force: bool
) -> Response:
    job = here.engine.start_delete_restore_points(
        collection.item, restore_points, force=force, reason="user: delete restore points"
    )
    path = f"{here.ids.root}/providers/Microsoft.Compute/locations/{here.location}/operations/{job.id}"
    return accepted_at(request, path, f"{path}?monitor=true")


def _find(here: Service, group: str, name: str) -> Collection | None:
    """Return the collection of that name, its case ignored unless that is ambiguous, or None."""
    if group.lower() != here.place.resource_group.lower():
        return None
    alike = [one for one in list_collections(here) if one.name.lower() == name.lower()]
    exact = [one for one in alike if one.name == name]
    return next(iter(exact or alike), None)


def _get(here: Service, group: str, name: str) -> Collection:
    found = _find(here, group, name)
    if found is None:
        raise ResourceNotFound(type=COLLECTIONS, name=name, resource_group=group)
    return found
