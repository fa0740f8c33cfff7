"""Key vaults as resources: made, changed, deleted, recovered, purged; and their access policies."""

from dataclasses import replace
from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from vmkeep.arm.errors import ResourceNotFound, WrongLocation
from vmkeep.arm.keyvault.names import check_key_vault_name
from vmkeep.arm.keyvault.vault_answer import (
    PoliciesBody,
    PropertiesBody,
    kept_properties,
    key_vault_id,
    read_policies,
    show_deleted_key_vault,
    show_key_vault,
    show_policies,
)
from vmkeep.arm.members import Body, Json, any_case
from vmkeep.arm.names import KEY_VAULTS
from vmkeep.arm.paging import page
from vmkeep.arm.service import Here, Service
from vmkeep.base.errors import InvalidValue
from vmkeep.base.ids import new_guid
from vmkeep.keyvault.errors import KeyVaultExists
from vmkeep.keyvault.records import KeyVault
from vmkeep.keyvault.rights import AccessPolicy

router = APIRouter()
_SUBSCRIPTION = "/subscriptions/{subscription}"
_GROUP = f"{_SUBSCRIPTION}/resourceGroups/{{group}}"
_KEY_VAULT = f"{_GROUP}/providers/{KEY_VAULTS}/{{key_vault_name}}"
_PROVIDER = f"{_SUBSCRIPTION}/providers/Microsoft.KeyVault"
_DELETED = f"{_PROVIDER}/locations/{{location}}/deletedVaults/{{key_vault_name}}"


class KeyVaultBody(Body):
    """A key vault as clients send it."""

    location: str = ""
    tags: dict[str, str] | None = None
    properties: Json = Field(default_factory=dict)


class PolicyOperation(StrEnum):
    """What is done with access policies that are sent."""

    ADD = "add"
    REPLACE = "replace"
    REMOVE = "remove"


class UpdatePoliciesBody(Body):
    """Access policies to add, put in place of others, or take away."""

    properties: PoliciesBody


class NameBody(Body):
    """A name to be tried."""

    name: str


def _key_vault(here: Here, group: str, key_vault_name: str) -> KeyVault:
    found = here.key_vaults.find(key_vault_name)
    if found is None or found.resource_group.lower() != group.lower():
        raise ResourceNotFound(type=KEY_VAULTS, name=key_vault_name, resource_group=group)
    return found


TheKeyVault = Annotated[KeyVault, Depends(_key_vault)]


@router.put(_KEY_VAULT)
def put_key_vault(
    request: Request, here: Here, group: str, key_vault_name: str, body: KeyVaultBody
) -> JSONResponse:
    """Make a key vault, change one, or recover one that was deleted (`createMode` `recover`)."""
    wanted = PropertiesBody.model_validate(body.properties)
    wanted.refuse_unknown()
    found = here.key_vaults.find(key_vault_name)
    if found is not None and found.resource_group.lower() != group.lower():
        raise KeyVaultExists(name=found.name, resource_group=found.resource_group)
    if found is not None:
        changed = _changed(here, found, body, wanted)
        here.key_vaults.change(changed)
        return JSONResponse(show_key_vault(request, here, changed))
    if wanted.create_mode.lower() == "recover":
        made = here.key_vaults.recover(key_vault_name)
    else:
        made = _changed(here, _new(here, group, key_vault_name, body), body, wanted)
        here.key_vaults.create(made)
    return JSONResponse(show_key_vault(request, here, made), status_code=201)


@router.patch(_KEY_VAULT)
def patch_key_vault(request: Request, here: Here, one: TheKeyVault, body: KeyVaultBody) -> Json:
    """Change what is sent, keep the rest."""
    wanted = PropertiesBody.model_validate(body.properties)
    wanted.refuse_unknown()
    changed = _changed(here, one, body, wanted)
    here.key_vaults.change(changed)
    return show_key_vault(request, here, changed)


@router.get(_KEY_VAULT)
def get_key_vault(request: Request, here: Here, one: TheKeyVault) -> Json:
    """Return one key vault."""
    return show_key_vault(request, here, one)


@router.get(f"{_GROUP}/providers/{KEY_VAULTS}")
def list_of_group(request: Request, here: Here, group: str) -> Json:
    """Return the key vaults of a resource group."""
    found = [one for one in here.key_vaults.list() if one.resource_group.lower() == group.lower()]
    return page(request, found, lambda one: show_key_vault(request, here, one))


@router.get(f"{_PROVIDER}/vaults")
def list_all(request: Request, here: Here) -> Json:
    """Return all key vaults."""
    return page(request, here.key_vaults.list(), lambda one: show_key_vault(request, here, one))


@router.get(f"{_GROUP}/providers/Microsoft.KeyVault/managedHSMs")
@router.get(f"{_PROVIDER}/managedHSMs")
def list_hsms(here: Here) -> Json:  # noqa: ARG001 - only to refuse unknown subscriptions
    """Return none: `az keyvault list` asks for these too."""
    return {"value": []}


@router.delete(_KEY_VAULT)
def delete_key_vault(here: Here, group: str, key_vault_name: str) -> Response:
    """Delete a key vault so that it can be recovered; 204 when there is none."""
    found = here.key_vaults.find(key_vault_name)
    if found is None or found.resource_group.lower() != group.lower():
        return Response(status_code=204)
    here.key_vaults.delete(found.name)
    return Response(status_code=200)


@router.put(f"{_KEY_VAULT}/accessPolicies/{{operation}}")
def update_policies(
    here: Here,
    one: TheKeyVault,
    operation: Annotated[PolicyOperation, any_case(PolicyOperation)],
    body: UpdatePoliciesBody,
) -> Json:
    """Add rights, put access policies in place of those of the same identities, or take rights away."""
    sent = read_policies(body.properties.access_policies or [], here.tenant)
    changed = replace(one, policies=_combined(one.policies, sent, operation))
    here.key_vaults.change(changed)
    return {
        "id": f"{key_vault_id(here, one)}/accessPolicies/",
        "type": f"{KEY_VAULTS}/accessPolicies",
        "properties": {"accessPolicies": show_policies(changed)},
    }


@router.get(f"{_PROVIDER}/deletedVaults")
def list_deleted(request: Request, here: Here) -> Json:
    """Return the key vaults that can be recovered."""
    return page(request, here.key_vaults.list_deleted(), lambda one: show_deleted_key_vault(here, one))


@router.get(_DELETED)
def get_deleted(here: Here, key_vault_name: str) -> Json:
    """Return one that can be recovered."""
    return show_deleted_key_vault(here, here.key_vaults.get_deleted(key_vault_name))


@router.post(f"{_DELETED}/purge")
def purge(here: Here, key_vault_name: str) -> Response:
    """Remove a deleted key vault for ever."""
    here.key_vaults.purge(key_vault_name)
    return Response(status_code=200)


@router.post(f"{_PROVIDER}/checkNameAvailability")
def check_name(here: Here, body: NameBody) -> Json:
    """Say whether a key vault may have a name."""
    try:
        check_key_vault_name(body.name)
    except InvalidValue as error:
        return {"nameAvailable": False, "reason": "AccountNameInvalid", "message": str(error)}
    taken = {one.name.lower() for one in (*here.key_vaults.list(), *here.key_vaults.list_deleted())}
    if body.name.lower() in taken:
        return {"nameAvailable": False, "reason": "AlreadyExists", "message": "The name is taken."}
    return {"nameAvailable": True}


def _new(here: Service, group: str, name: str, body: KeyVaultBody) -> KeyVault:
    check_key_vault_name(name)
    if body.location.lower().replace(" ", "") not in {here.location.lower(), ""}:
        raise WrongLocation(location=body.location, type=KEY_VAULTS, known=here.location)
    created = int(here.clock.now().timestamp())
    return KeyVault(id=new_guid(), name=name, resource_group=group, tenant=here.tenant, created=created)


def _changed(here: Service, one: KeyVault, body: KeyVaultBody, wanted: PropertiesBody) -> KeyVault:
    """Return a key vault as wanted; protection against purging is never taken away."""
    policies = wanted.access_policies
    return replace(
        one,
        policies=one.policies if policies is None else read_policies(policies, here.tenant),
        retention_days=wanted.soft_delete_retention_in_days or one.retention_days,
        purge_protection=one.purge_protection or bool(wanted.enable_purge_protection),
        properties={**one.properties, **kept_properties(body.properties)},
        tags=one.tags if body.tags is None else body.tags,
    )


def _combined(
    policies: tuple[AccessPolicy, ...], sent: tuple[AccessPolicy, ...], operation: PolicyOperation
) -> tuple[AccessPolicy, ...]:
    by_id = {policy.object_id.lower(): policy for policy in policies}
    for policy in sent:
        key = policy.object_id.lower()
        before = by_id.pop(key, AccessPolicy(policy.object_id, policy.tenant))
        if operation is PolicyOperation.REPLACE:
            by_id[key] = policy
        elif operation is PolicyOperation.ADD:
            by_id[key] = before.with_rights(policy.rights)
        elif left := before.without_rights(policy.rights):
            by_id[key] = left
    return tuple(by_id.values())
