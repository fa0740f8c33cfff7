"""What is wrong with the backups of a VM, proven or not, and the remedy that the service can carry out itself."""

from fastapi import APIRouter

from vmkeep.arm.compute.machines import find_machine
from vmkeep.arm.members import Json
from vmkeep.arm.names import MACHINES
from vmkeep.arm.service import Here, MachineGroup
from vmkeep.diagnosis.verdict import Diagnosis

router = APIRouter()
_MACHINE = f"/subscriptions/{{subscription}}/resourceGroups/{{group}}/providers/{MACHINES}/{{vm_name}}"


@router.post(f"{_MACHINE}/vmkeepDiagnose")
def diagnose(here: Here, group: MachineGroup, vm_name: str) -> Json:  # noqa: ARG001 - checked
    """Look at the VM now; changes nothing."""
    return _show(here.engine.diagnose(find_machine(here, vm_name).uuid))


@router.post(f"{_MACHINE}/vmkeepApplyRemedy")
def apply_remedy(here: Here, group: MachineGroup, vm_name: str) -> Json:  # noqa: ARG001 - checked
    """Carry out the remedy of the proven cause; return the diagnosis it was for."""
    return _show(here.engine.apply_remedy(find_machine(here, vm_name).uuid))


def _show(found: Diagnosis) -> Json:
    """Return a diagnosis as the API shows it."""
    cause = found.cause
    return {
        "vmName": found.vm_name,
        "time": found.at.isoformat(),
        "outcome": found.outcome.value,
        "verdict": found.verdict,
        "cause": cause and {"id": cause.id, "title": cause.title},
        "remedy": cause.remedy if cause else "",
        "canApply": bool(cause and cause.mend),
        "supposed": [{"id": one.id, "title": one.title} for one in found.supposed],
        "refuted": list(found.refuted),
        "remaining": [{"id": one.id, "title": one.title, "missing": one.missing} for one in found.remaining],
        "missingVantages": [vantage.value for vantage in found.missing],
        "evidence": [
            {
                "time": one.at.isoformat(),
                "vantage": one.vantage.value,
                "fact": one.fact.value,
                "value": one.value,
                "source": one.source,
            }
            for one in found.evidence
        ],
    }
