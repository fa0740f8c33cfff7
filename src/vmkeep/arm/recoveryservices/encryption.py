"""Which key opens a vault: the service's own master key, or a key of a key vault."""

from fastapi import APIRouter, Request
from pydantic import Field

from vmkeep.arm.errors import BadRequestBody, NotSupported
from vmkeep.arm.keyvault.addresses import key_url, read_key_url
from vmkeep.arm.members import Body, Json, member
from vmkeep.arm.names import VAULTS
from vmkeep.arm.recoveryservices.scope import VAULT, TheVault
from vmkeep.arm.service import Here, Service
from vmkeep.keyvault.data_keyring import find_wrapping
from vmkeep.keyvault.key_id import KeyId
from vmkeep.keyvault.rights import BACKUP_SERVICE
from vmkeep.model.protection import Vault

router = APIRouter()
_CONFIG = f"{VAULT}/backupEncryptionConfigs/{{name}}"


class EncryptionProperties(Body):
    """Which key a client wants."""

    encryption_at_rest_type: str = ""
    key_uri: str = ""
    infrastructure_encryption_state: str = ""


class EncryptionBody(Body):
    """What a client wants of a vault's encryption."""

    properties: EncryptionProperties = Field(default_factory=EncryptionProperties)


@router.get(_CONFIG)
def get_encryption(request: Request, here: Here, vault: TheVault, name: str) -> Json:  # noqa: ARG001 - a singleton
    """Return which key opens the vault."""
    return _show(request, here, vault)


@router.put(_CONFIG)
@router.patch(_CONFIG)
def put_encryption(request: Request, here: Here, vault: TheVault, name: str, body: EncryptionBody) -> Json:  # noqa: ARG001 - a singleton
    """Wrap the vault's data key anew, under the key that is wanted; nothing that is stored is written again."""
    wanted = body.properties
    if wanted.infrastructure_encryption_state.lower() == "enabled":
        raise NotSupported(what="infrastructure encryption", instead="Leave it out: all is encrypted anyway.")
    managed = wanted.encryption_at_rest_type.lower() == "microsoftmanaged"
    if not managed and not wanted.key_uri:
        raise BadRequestBody(why="keyUri is missing: the key that shall open the vault")
    here.repositories.wrap_anew(vault, None if managed else read_key_url(here, request, wanted.key_uri))
    return _show(request, here, here.catalog.get_vault_by_id(vault.id))


def wanted_key(here: Service, request: Request, properties: Json) -> KeyId | None:
    """Return the key that a vault's properties ask for, or None; raises InvalidValue."""
    url = member(properties, "encryption", "keyVaultProperties", "keyUri")
    return read_key_url(here, request, str(url)) if url else None


def show_encryption(request: Request, vault: Vault) -> Json:
    """Return a vault's property `encryption`; empty when the master key opens it."""
    wrapping = find_wrapping(vault.wrapped_key, vault.id)
    if wrapping is None:
        return {}
    return {
        "keyVaultProperties": {"keyUri": key_url(request, wrapping.asked)},
        "kekIdentity": {"useSystemAssignedIdentity": True},
        "infrastructureEncryption": "Disabled",
    }


def show_identity(here: Service) -> Json:
    """Return who a vault is to key vaults: the backup service, the same for all vaults."""
    return {"type": "SystemAssigned", "principalId": BACKUP_SERVICE, "tenantId": here.tenant}


def _show(request: Request, here: Service, vault: Vault) -> Json:
    wrapping = find_wrapping(vault.wrapped_key, vault.id)
    facts: Json = {
        "encryptionAtRestType": "MicrosoftManaged",
        "infrastructureEncryptionState": "Disabled",
        "lastUpdateStatus": "NotEnabled",
        "subscriptionId": here.subscription,
        "userAssignedIdentity": None,
        "useSystemAssignedIdentity": wrapping is not None,
    }
    if wrapping is not None:
        facts |= {
            "encryptionAtRestType": "CustomerManaged",
            "lastUpdateStatus": "Succeeded",
            "keyUri": key_url(request, wrapping.asked),
            "vmkeep": {"keyInUse": key_url(request, wrapping.used)},
        }
    return {
        "id": f"{here.vault_id(vault)}/backupEncryptionConfigs/backupResourceEncryptionConfig",
        "name": "backupResourceEncryptionConfig",
        "type": f"{VAULTS}/backupEncryptionConfigs",
        "properties": facts,
    }
