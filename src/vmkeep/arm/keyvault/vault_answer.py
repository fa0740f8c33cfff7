"""Key vaults and access policies as ARM has them."""

from fastapi import Request
from pydantic import Field

from vmkeep.arm.errors import NotSupported
from vmkeep.arm.keyvault.addresses import key_vault_url
from vmkeep.arm.members import Body, Json
from vmkeep.arm.names import KEY_VAULTS
from vmkeep.arm.service import Service
from vmkeep.arm.wire_time import show_time
from vmkeep.base.clock import from_seconds
from vmkeep.base.errors import InvalidValue
from vmkeep.keyvault.records import KeyVault
from vmkeep.keyvault.rights import AccessPolicy, Kind

_DAYS = range(7, 91)
_KEPT = {"enabledfordeployment", "enabledfordiskencryption", "enabledfortemplatedeployment", "networkacls"}


class PolicyBody(Body):
    """What one identity may do, as clients send it."""

    object_id: str
    tenant_id: str = ""
    permissions: dict[str, list[str] | None] = Field(default_factory=dict)

    def policy(self, tenant: str) -> AccessPolicy:
        """Return it in the key vault's own words."""
        rights = {kind.lower(): tuple(names or ()) for kind, names in self.permissions.items()}
        return AccessPolicy(self.object_id, self.tenant_id or tenant, rights)


class PoliciesBody(Body):
    """Several of them."""

    access_policies: list[PolicyBody] | None = None


class PropertiesBody(PoliciesBody):
    """What a client wants of a key vault; absent is as it was."""

    create_mode: str = "default"
    enable_soft_delete: bool = True
    soft_delete_retention_in_days: int | None = None
    enable_purge_protection: bool | None = None
    enable_rbac_authorization: bool = False

    def refuse_unknown(self) -> None:
        """Raise NotSupported, InvalidValue for what key vaults here cannot do."""
        if self.enable_rbac_authorization:
            raise NotSupported(
                what="authorization of key vaults by roles",
                instead="Use access policies: enableRbacAuthorization false.",
            )
        if not self.enable_soft_delete:
            raise NotSupported(
                what="a key vault without soft delete", instead="Leave out enableSoftDelete, or make it true."
            )
        days = self.soft_delete_retention_in_days
        if days is not None and days not in _DAYS:
            raise InvalidValue(
                what="softDeleteRetentionInDays", value=str(days), why=f"write {_DAYS[0]} to {_DAYS[-1]}"
            )


def read_policies(bodies: list[PolicyBody], tenant: str) -> tuple[AccessPolicy, ...]:
    """Return access policies in the key vault's own words."""
    return tuple(body.policy(tenant) for body in bodies)


def kept_properties(properties: Json) -> Json:
    """Return what is kept for clients and not acted upon."""
    return {name: value for name, value in properties.items() if name.lower() in _KEPT}


def key_vault_id(here: Service, one: KeyVault) -> str:
    """Return a key vault's ARM id."""
    return f"{here.ids.group(one.resource_group)}/providers/{KEY_VAULTS}/{one.name}"


def show_key_vault(request: Request, here: Service, one: KeyVault) -> Json:
    """Return a key vault."""
    protection = {"enablePurgeProtection": True} if one.purge_protection else {}
    return {
        "id": key_vault_id(here, one),
        "name": one.name,
        "type": KEY_VAULTS,
        "location": here.location,
        "tags": dict(one.tags),
        "properties": {
            **one.properties,
            **protection,
            "sku": {"family": "A", "name": "standard"},
            "tenantId": one.tenant,
            "accessPolicies": show_policies(one),
            "vaultUri": f"{key_vault_url(request, one.name)}/",
            "enableSoftDelete": True,
            "softDeleteRetentionInDays": one.retention_days,
            "enableRbacAuthorization": False,
            "publicNetworkAccess": "Enabled",
            "provisioningState": "Succeeded",
        },
    }


def show_policies(one: KeyVault) -> list[Json]:
    """Return a key vault's access policies."""
    return [
        {
            "tenantId": policy.tenant,
            "objectId": policy.object_id,
            "permissions": {
                kind: list(policy.rights.get(kind, ())) for kind in (*Kind, "certificates", "storage")
            },
        }
        for policy in one.policies
    ]


def show_deleted_key_vault(here: Service, one: KeyVault) -> Json:
    """Return a key vault that can be recovered."""
    times = {"deletionDate": one.deleted, "scheduledPurgeDate": one.purge_at}
    shown = {name: show_time(from_seconds(moment)) for name, moment in times.items() if moment is not None}
    return {
        "id": f"{here.ids.root}/providers/Microsoft.KeyVault/locations/{here.location}/deletedVaults/{one.name}",
        "name": one.name,
        "type": "Microsoft.KeyVault/deletedVaults",
        "properties": {
            "vaultId": key_vault_id(here, one),
            "location": here.location,
            "tags": dict(one.tags),
            **shown,
            **({"purgeProtectionEnabled": True} if one.purge_protection else {}),
        },
    }
