"""Vaults."""

from dataclasses import replace

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response
from pydantic import Field

from vmkeep.arm.errors import OperationNotFound, WrongLocation
from vmkeep.arm.members import Body, Json, member
from vmkeep.arm.names import VAULTS
from vmkeep.arm.operations import finished_answer
from vmkeep.arm.paging import page
from vmkeep.arm.recoveryservices.default_policies import default_policies
from vmkeep.arm.recoveryservices.encryption import show_encryption, show_identity, wanted_key
from vmkeep.arm.recoveryservices.scope import GROUP, VAULT, TheVault
from vmkeep.arm.service import Here, Service
from vmkeep.base.ids import new_guid
from vmkeep.keyvault.data_keyring import find_wrapping
from vmkeep.model.protection import Policy, Vault

router = APIRouter()


class VaultBody(Body):
    """A vault as clients send it; `properties` are kept as they come."""

    location: str = ""
    tags: dict[str, str] | None = None
    properties: Json = Field(default_factory=dict)


@router.put(VAULT)
def put_vault(request: Request, here: Here, group: str, vault_name: str, body: VaultBody) -> JSONResponse:
    """Create a vault with its repository and default policies, or change an existing one."""
    vault = here.catalog.find_vault(group, vault_name)
    if vault is not None:
        return JSONResponse(show_vault(request, here, _change(request, here, vault, body)))
    if body.location.lower().replace(" ", "") not in {here.location.lower(), ""}:
        raise WrongLocation(location=body.location, type=VAULTS, known=here.location)
    return JSONResponse(
        show_vault(request, here, _create(request, here, group, vault_name, body)), status_code=201
    )


@router.patch(VAULT)
def patch_vault(request: Request, here: Here, vault: TheVault, body: VaultBody) -> Json:
    """Change the properties and tags that are sent, keep the others."""
    return show_vault(request, here, _change(request, here, vault, body))


@router.get(VAULT)
def get_vault(request: Request, here: Here, vault: TheVault) -> Json:
    """Return one vault."""
    return show_vault(request, here, vault)


@router.get(f"{GROUP}/providers/{VAULTS}")
def list_vaults_of_group(request: Request, here: Here, group: str) -> Json:
    """Return the vaults of a resource group."""
    return page(request, here.catalog.list_vaults(group), lambda vault: show_vault(request, here, vault))


@router.get(f"/subscriptions/{{subscription}}/providers/{VAULTS}")
def list_vaults(request: Request, here: Here) -> Json:
    """Return all vaults."""
    return page(request, here.catalog.list_vaults(), lambda vault: show_vault(request, here, vault))


@router.delete(VAULT)
def delete_vault(here: Here, group: str, vault_name: str) -> Response:
    """Delete a vault that holds nothing; its repository stays where it is. 204 when there is none."""
    vault = here.catalog.find_vault(group, vault_name)
    if vault is not None:
        here.catalog.delete_vault(vault.id)
    return Response(status_code=204)


@router.get(f"{VAULT}/operationStatus/{{operation_id}}")
def vault_operation(request: Request, here: Here, operation_id: str) -> JSONResponse:
    """Return an operation on a vault; those are over when they are answered."""
    ended = here.finished.find(operation_id)
    if ended is None:
        raise OperationNotFound(id=operation_id)
    return finished_answer(operation_id, ended, request.url.path)


def _create(request: Request, here: Service, group: str, name: str, body: VaultBody) -> Vault:
    vault_id = new_guid()
    url = str(member(body.properties, "vmkeep", "repositoryUrl") or "")
    repository = here.repositories.create(vault_id, url, wanted_key(here, request, body.properties))
    vault = Vault(
        id=vault_id,
        name=name,
        resource_group=group,
        location=here.location,
        repository_url=repository.url,
        wrapped_key=repository.wrapped_key,
        created=here.clock.now(),
        properties=_kept(body.properties),
        tags=body.tags or {},
    )
    here.catalog.create_vault(vault)
    for policy_name, properties in default_policies(here.clock.now()).items():
        here.catalog.put_policy(Policy(vault_id=vault_id, name=policy_name, properties=properties))
    return vault


def _change(request: Request, here: Service, vault: Vault, body: VaultBody) -> Vault:
    key, wrapping = wanted_key(here, request, body.properties), find_wrapping(vault.wrapped_key, vault.id)
    if key is not None and (wrapping is None or key != wrapping.asked):
        here.repositories.wrap_anew(vault, key)
    changed = replace(
        vault,
        properties={**vault.properties, **_kept(body.properties)},
        tags=vault.tags if body.tags is None else body.tags,
    )
    here.catalog.put_vault(changed)
    return here.catalog.get_vault_by_id(vault.id)


def _kept(properties: Json) -> Json:
    """Drop what the service itself decides."""
    decided = {"provisioningstate", "vmkeep", "securitysettings", "redundancysettings", "encryption"}
    return {
        name: value for name, value in properties.items() if name.lower() not in decided and value is not None
    }


def show_vault(request: Request, here: Service, vault: Vault) -> Json:
    """Return a vault as ARM shows it. There is no soft delete, no immutability and no geo-redundancy yet."""
    encryption = show_encryption(request, vault)
    return {
        "id": here.vault_id(vault),
        "name": vault.name,
        "type": VAULTS,
        "location": vault.location,
        "etag": f'W/"{vault.id}"',
        "tags": vault.tags,
        "sku": {"name": "RS0", "tier": "Standard"},
        "identity": show_identity(here),
        "properties": {
            "publicNetworkAccess": "Enabled",
            "backupStorageVersion": "V1",
            "privateEndpointStateForBackup": "None",
            "privateEndpointStateForSiteRecovery": "None",
            **vault.properties,
            **({"encryption": encryption} if encryption else {}),
            "provisioningState": "Succeeded",
            "securitySettings": {
                "softDeleteSettings": {
                    "softDeleteState": "Disabled",
                    "enhancedSecurityState": "Disabled",
                    "softDeleteRetentionPeriodInDays": 0,
                },
                "immutabilitySettings": {"state": "Disabled"},
                "multiUserAuthorization": "Disabled",
            },
            "redundancySettings": {
                "standardTierStorageRedundancy": "LocallyRedundant",
                "crossRegionRestore": "Disabled",
            },
            "vmkeep": {"id": vault.id, "repositoryUrl": vault.repository_url},
        },
    }
