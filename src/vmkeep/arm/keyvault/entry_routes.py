"""What a key vault does with keys and secrets alike: list, delete, recover, purge, back up, restore."""

from collections.abc import Callable, Sequence
from typing import Annotated, TypeVar

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import Field

from vmkeep.arm.keyvault.bundles import read_bytes, show_bytes, show_deleted, show_item, show_version
from vmkeep.arm.keyvault.scope import TheEntries
from vmkeep.arm.members import Body, Json
from vmkeep.arm.paging import page

router = APIRouter()
T = TypeVar("T")
_MOST = 25
"""Entries on one page at most, as in Azure."""
MaxResults = Annotated[int, Query(alias="maxresults", ge=1)]


class BlobBody(Body):
    """A backup as a client sends it back."""

    value: str = Field(repr=False)


@router.get("/deleted{kind}")
def list_deleted(request: Request, entries: TheEntries, most: MaxResults = _MOST) -> Json:
    """Return the entries that can be recovered."""
    return _page(
        request,
        entries.list_deleted(),
        most,
        lambda one: show_deleted(request, entries, show_item(request, entries, one.newest, exact=False), one),
    )


@router.get("/deleted{kind}/{name}")
def get_deleted(request: Request, entries: TheEntries, name: str) -> Json:
    """Return one that can be recovered."""
    found = entries.get_deleted(name)
    return show_deleted(request, entries, show_version(request, entries, found.newest), found)


@router.post("/deleted{kind}/{name}/recover")
def recover(request: Request, entries: TheEntries, name: str) -> Json:
    """Take a deletion back."""
    return show_version(request, entries, entries.recover(name))


@router.delete("/deleted{kind}/{name}")
def purge(entries: TheEntries, name: str) -> Response:
    """Remove a deleted one for ever."""
    entries.purge(name)
    return Response(status_code=204)


@router.get("/{kind}")
def list_entries(request: Request, entries: TheEntries, most: MaxResults = _MOST) -> Json:
    """Return all, without versions."""
    return _page(request, entries.list(), most, lambda one: show_item(request, entries, one, exact=False))


@router.get("/{kind}/{name}/versions")
def list_versions(request: Request, entries: TheEntries, name: str, most: MaxResults = _MOST) -> Json:
    """Return the versions of one."""
    return _page(
        request, entries.list_versions(name), most, lambda one: show_item(request, entries, one, exact=True)
    )


@router.delete("/{kind}/{name}")
def delete(request: Request, entries: TheEntries, name: str) -> Json:
    """Delete one so that it can be recovered."""
    deleted = entries.delete(name)
    return show_deleted(request, entries, show_version(request, entries, deleted.newest), deleted)


@router.post("/{kind}/restore")
def restore(request: Request, entries: TheEntries, body: BlobBody) -> Json:
    """Put a backup back."""
    return show_version(request, entries, entries.restore(read_bytes(body.value)))


@router.post("/{kind}/{name}/backup")
def backup(entries: TheEntries, name: str) -> Json:
    """Return one with all versions, sealed."""
    return {"value": show_bytes(entries.backup(name))}


def _page(request: Request, found: Sequence[T], most: int, show: Callable[[T], Json]) -> Json:
    return page(request, found, show, size=min(most, _MOST))
