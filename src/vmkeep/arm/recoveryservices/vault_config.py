"""A vault's singletons: what `az` reads before it protects or restores. They say what is so; none can be changed yet."""

from fastapi import APIRouter

from vmkeep.arm.members import Json
from vmkeep.arm.names import VAULTS
from vmkeep.arm.recoveryservices.scope import VAULT, TheVault
from vmkeep.arm.service import Here, Service
from vmkeep.model.protection import Vault

router = APIRouter()


@router.get(f"{VAULT}/backupconfig/{{name}}")
def vault_config(here: Here, vault: TheVault, name: str) -> Json:  # noqa: ARG001 - a singleton
    """Return storage and soft-delete facts."""
    facts = {
        "storageModelType": "LocallyRedundant",
        "storageType": "LocallyRedundant",
        "storageTypeState": "Locked",
        "enhancedSecurityState": "Disabled",
        "softDeleteFeatureState": "Disabled",
        "softDeleteRetentionPeriodInDays": 0,
        "isSoftDeleteFeatureStateEditable": False,
    }
    return _singleton(here, vault, "backupconfig", "vaultconfig", facts)


@router.get(f"{VAULT}/backupstorageconfig/{{name}}")
def storage_config(here: Here, vault: TheVault, name: str) -> Json:  # noqa: ARG001 - a singleton
    """Return how the vault's data is stored."""
    facts = {
        "storageModelType": "LocallyRedundant",
        "storageType": "LocallyRedundant",
        "storageTypeState": "Locked",
        "crossRegionRestoreFlag": False,
        "dedupState": "Enabled",
        "xcoolState": "Disabled",
    }
    return _singleton(here, vault, "backupstorageconfig", "vaultstorageconfig", facts)


@router.get(f"{VAULT}/backupResourceGuardProxies")
def guard_proxies(vault: TheVault) -> Json:  # noqa: ARG001 - only to refuse unknown vaults
    """Return none: there are no resource guards."""
    return {"value": []}


@router.get(f"{VAULT}/backupUsageSummaries")
def usage_summaries(here: Here, vault: TheVault) -> Json:
    """Return how many items the vault holds."""
    name = {"value": "BackupProtectedItemCount", "localizedValue": "Protected items"}
    count = len(here.catalog.list_items(vault.id))
    return {"value": [{"name": name, "currentValue": count, "limit": 1000, "unit": "Count"}]}


def _singleton(here: Service, vault: Vault, kind: str, name: str, facts: Json) -> Json:
    return {
        "id": f"{here.vault_id(vault)}/{kind}/{name}",
        "name": name,
        "type": f"{VAULTS}/{kind}",
        "properties": facts,
    }
