"""The one subscription, the one tenant, and the resource groups."""

from fastapi import APIRouter, Request
from fastapi.responses import Response

from vmkeep.arm.errors import ResourceGroupNotFound
from vmkeep.arm.members import Json
from vmkeep.arm.paging import page
from vmkeep.arm.service import Here, Service

router = APIRouter()
_GROUP = "/subscriptions/{subscription}/resourceGroups/{group}"


@router.get("/subscriptions")
def list_subscriptions(here: Here) -> Json:
    """Return the one subscription."""
    return {"value": [_show_subscription(here)]}


@router.get("/subscriptions/{subscription}")
def get_subscription(here: Here) -> Json:
    """Return the subscription."""
    return _show_subscription(here)


@router.get("/subscriptions/{subscription}/locations")
def list_locations(here: Here) -> Json:
    """Return the one location."""
    place = f"{here.ids.root}/locations/{here.location}"
    return {"value": [{"id": place, "name": here.location, "displayName": here.location}]}


@router.get("/tenants")
def list_tenants(here: Here) -> Json:
    """Return the one tenant."""
    return {
        "value": [
            {
                "id": f"/tenants/{here.tenant}",
                "tenantId": here.tenant,
                "displayName": "vmkeep",
                "defaultDomain": "vmkeep.local",
            }
        ]
    }


@router.get("/subscriptions/{subscription}/resourceGroups")
def list_groups(request: Request, here: Here) -> Json:
    """Return the resource groups of VMs and vaults."""
    return page(request, here.resource_groups(), lambda name: _show_group(here, name))


@router.get(_GROUP)
def get_group(here: Here, group: str) -> Json:
    """Return a resource group."""
    found = next((name for name in here.resource_groups() if name.lower() == group.lower()), None)
    if found is None:
        raise ResourceGroupNotFound(name=group, known=here.resource_group)
    return _show_group(here, found)


@router.head(_GROUP)
def group_exists(here: Here, group: str) -> Response:
    """Return 204 when the resource group exists, 404 when not."""
    exists = group.lower() in {name.lower() for name in here.resource_groups()}
    return Response(status_code=204 if exists else 404)


def _show_subscription(here: Service) -> Json:
    return {
        "id": here.ids.root,
        "subscriptionId": here.subscription,
        "tenantId": here.tenant,
        "displayName": "vmkeep",
        "state": "Enabled",
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionPolicies": {
            "locationPlacementId": "Internal_2014-09-01",
            "quotaId": "Internal_2014-09-01",
            "spendingLimit": "Off",
        },
    }


def _show_group(here: Service, name: str) -> Json:
    return {
        "id": here.ids.group(name),
        "name": name,
        "type": "Microsoft.Resources/resourceGroups",
        "location": here.location,
        "properties": {"provisioningState": "Succeeded"},
    }
