"""Our own actions on a vault's repository: check and prune."""

from fastapi import APIRouter

from vmkeep.arm.members import Body, Json
from vmkeep.arm.recoveryservices.scope import VAULT, TheVault
from vmkeep.arm.service import Here

router = APIRouter()


class CheckBody(Body):
    """How deep to look."""

    read_data: bool = False


@router.post(f"{VAULT}/vmkeepRepositoryCheck")
def check(here: Here, vault: TheVault, body: CheckBody) -> Json:
    """Compare the repository with what it claims; answers when that is done."""
    return here.repositories.check(vault, read_data=body.read_data)


@router.post(f"{VAULT}/vmkeepRepositoryPrune")
def prune(here: Here, vault: TheVault) -> Json:
    """Remove what no recovery point needs; answers when that is done."""
    return here.repositories.prune(vault)
