"""All top-level resources there are, those included that Azure's portal hides."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from vmkeep.arm.compute.collection_answer import list_collections
from vmkeep.arm.errors import ResourceGroupNotFound
from vmkeep.arm.filters import Filter
from vmkeep.arm.keyvault.vault_answer import key_vault_id
from vmkeep.arm.members import Json
from vmkeep.arm.names import KEY_VAULTS, MACHINES, VAULTS
from vmkeep.arm.paging import page
from vmkeep.arm.service import Here, Service
from vmkeep.model.collection import COLLECTIONS

router = APIRouter()
_SUBSCRIPTION = "/subscriptions/{subscription}"
FilterText = Annotated[str | None, Query(alias="$filter")]


@router.get(f"{_SUBSCRIPTION}/resources")
def list_all(request: Request, here: Here, filter_text: FilterText = None) -> Json:
    """Return all resources, as filtered by group, type or name."""
    return _page(request, list_resources(here), filter_text)


@router.get(f"{_SUBSCRIPTION}/resourceGroups/{{group}}/resources")
def list_of_group(request: Request, here: Here, group: str, filter_text: FilterText = None) -> Json:
    """Return the resources of a group; raises ResourceGroupNotFound."""
    if group.lower() not in {name.lower() for name in here.resource_groups()}:
        raise ResourceGroupNotFound(name=group, known=here.resource_group)
    found = [one for one in list_resources(here) if _group_of(one).lower() == group.lower()]
    return _page(request, found, filter_text)


def _page(request: Request, resources: list[Json], filter_text: str | None) -> Json:
    asked = Filter(filter_text)
    found = [
        one
        for one in resources
        if asked.accepts("resourceType", str(one["type"]))
        and asked.accepts("name", str(one["name"]))
        and asked.accepts("resourceGroup", _group_of(one))
    ]
    return page(request, found, lambda resource: resource)


def _group_of(resource: Json) -> str:
    return str(resource["id"]).split("/")[4]


def list_resources(here: Service) -> list[Json]:
    """Return VMs, vaults, key vaults and restore point collections, in short."""
    machines = [
        _short(here, here.ids.machine(here.machine_name(vm.name)), MACHINES)
        for vm in here.fabric.list_machines()
    ]
    vaults = [_short(here, here.vault_id(vault), VAULTS) for vault in here.catalog.list_vaults()]
    collections = [_short(here, one.id, COLLECTIONS) for one in list_collections(here)]
    key_vaults = [_short(here, key_vault_id(here, one), KEY_VAULTS) for one in here.key_vaults.list()]
    return [*machines, *vaults, *key_vaults, *collections]


def _short(here: Service, resource_id: str, kind: str) -> Json:
    name = resource_id.rpartition("/")[2]
    return {"id": resource_id, "name": name, "type": kind, "location": here.location, "tags": {}}
