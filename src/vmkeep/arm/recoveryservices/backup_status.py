"""Which vault protects a VM."""

from fastapi import APIRouter

from vmkeep.arm.members import Body, Json
from vmkeep.arm.names import read_machine_id
from vmkeep.arm.recoveryservices.scope import machine_of
from vmkeep.arm.service import Here

router = APIRouter()


class StatusBody(Body):
    """A VM to ask about."""

    resource_id: str


@router.post(
    "/subscriptions/{subscription}/providers/Microsoft.RecoveryServices/locations/{location}/backupStatus"
)
def backup_status(here: Here, location: str, body: StatusBody) -> Json:  # noqa: ARG001 - one location only
    """Return the vault and policy of a VM; `vaultId` is null when no vault protects it."""
    machine = read_machine_id(body.resource_id)
    items = [one for one in here.catalog.list_items() if one.vm_name.lower() == machine.name.lower()]
    item = min(items, key=lambda one: one.state.stopped, default=None)
    answer: Json = {
        "protectionStatus": "NotProtected",
        "vaultId": None,
        "fabricName": "Azure",
        "containerName": None,
        "protectedItemName": None,
        "policyName": None,
        "errorCode": "Success",
        "errorMessage": "",
        "registrationStatus": "NotRegistered",
    }
    if item is None:
        return answer
    name = machine_of(item)
    return {
        **answer,
        "protectionStatus": "Protected",
        "vaultId": here.vault_id(here.catalog.get_vault_by_id(item.vault_id)),
        "containerName": name.container,
        "protectedItemName": name.item,
        "policyName": item.policy_name,
        "registrationStatus": "Registered",
    }
