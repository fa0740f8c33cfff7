"""Backup policies."""

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from vmkeep.arm.filters import Filter
from vmkeep.arm.members import Body, Json
from vmkeep.arm.names import VAULTS, policy_id
from vmkeep.arm.paging import page
from vmkeep.arm.recoveryservices.policy_body import read_policy
from vmkeep.arm.recoveryservices.scope import VAULT, FilterText, TheVault
from vmkeep.arm.service import Here, Service
from vmkeep.catalog.errors import PolicyNotFound
from vmkeep.model.protection import AUTO_REMEDY_OFF, AUTO_REMEDY_SAFE, Policy, Vault

router = APIRouter()
POLICY = f"{VAULT}/backupPolicies/{{policy_name}}"


class PolicyBody(Body):
    """A policy as clients send it."""

    properties: Json = Field(default_factory=dict)


@router.get(f"{VAULT}/backupPolicies")
def list_policies(request: Request, here: Here, vault: TheVault, filter_text: FilterText = None) -> Json:
    """Return the policies of a vault; all are for VMs."""
    wanted = Filter(filter_text).accepts("backupManagementType", "AzureIaasVM")
    policies = here.catalog.list_policies(vault.id) if wanted else []
    return page(request, policies, lambda policy: show_policy(here, vault, policy))


@router.get(POLICY)
def get_policy(here: Here, vault: TheVault, policy_name: str) -> Json:
    """Return one policy."""
    return show_policy(here, vault, here.catalog.get_policy(vault.id, policy_name))


@router.put(POLICY)
def put_policy(here: Here, vault: TheVault, policy_name: str, body: PolicyBody) -> Json:
    """Make or replace a policy."""
    properties = read_policy(body.properties)
    properties.setdefault("vmkeep", _own_settings(here, vault, policy_name))
    policy = Policy(vault_id=vault.id, name=policy_name, properties=properties)
    here.catalog.put_policy(policy)
    return show_policy(here, vault, policy)


def _own_settings(here: Service, vault: Vault, name: str) -> Json:
    """Return what Azure's clients do not know and so do not send back."""
    present = [one for one in here.catalog.list_policies(vault.id) if one.name.lower() == name.lower()]
    return {"autoRemedy": AUTO_REMEDY_SAFE if present and present[0].mends else AUTO_REMEDY_OFF}


@router.delete(POLICY)
def delete_policy(here: Here, vault: TheVault, policy_name: str) -> Response:
    """Delete a policy that no item is under; 204 when there is none."""
    try:
        here.catalog.delete_policy(vault.id, policy_name)
    except PolicyNotFound:
        return Response(status_code=204)
    return Response(status_code=200)


def show_policy(here: Service, vault: Vault, policy: Policy) -> Json:
    """Return a policy as ARM shows it."""
    count = sum(item.policy_name == policy.name for item in here.catalog.list_items(vault.id))
    return {
        "id": policy_id(here.vault_id(vault), policy.name),
        "name": policy.name,
        "type": f"{VAULTS}/backupPolicies",
        "properties": {**policy.properties, "protectedItemsCount": count},
    }
