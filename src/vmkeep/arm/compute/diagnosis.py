"""What is wrong with the backups of a VM, proven or not, and the remedy that the service can carry out itself."""

from fastapi import APIRouter

from vmkeep.arm.compute.machines import find_machine
from vmkeep.arm.members import Body, Json
from vmkeep.arm.names import MACHINES
from vmkeep.arm.service import Here, MachineGroup

router = APIRouter()
_MACHINE = f"/subscriptions/{{subscription}}/resourceGroups/{{group}}/providers/{MACHINES}/{{vm_name}}"


class RemedyBody(Body):
    """What a client says of a remedy it asks for."""

    consent: bool = False
    """Also one that takes something away, such as a lock."""


class LogsBody(Body):
    """How much the agent is to write into its log."""

    verbose: bool


@router.post(f"{_MACHINE}/vmkeepDiagnose")
def diagnose(here: Here, group: MachineGroup, vm_name: str) -> Json:  # noqa: ARG001 - checked
    """Look at the VM now; changes nothing."""
    return here.engine.diagnose(find_machine(here, vm_name).uuid).to_json()


@router.post(f"{_MACHINE}/vmkeepApplyRemedy")
def apply_remedy(here: Here, group: MachineGroup, vm_name: str, body: RemedyBody) -> Json:  # noqa: ARG001 - checked
    """Carry out the remedy of the proven cause; return the diagnosis it was for."""
    return here.engine.apply_remedy(find_machine(here, vm_name).uuid, consent=body.consent).to_json()


@router.post(f"{_MACHINE}/vmkeepAgentLogs")
def set_agent_logs(here: Here, group: MachineGroup, vm_name: str, body: LogsBody) -> Json:  # noqa: ARG001 - checked
    """Have the guest's agent say more in its log, or as much as it usually does."""
    here.engine.set_verbose_logs(find_machine(here, vm_name).uuid, verbose=body.verbose)
    return {"verbose": body.verbose}
