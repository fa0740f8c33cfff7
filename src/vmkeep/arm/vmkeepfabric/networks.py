"""Networks of this host: which let their VMs reach the wire server. Ours alone: docs/formats/arm-extensions.md."""

from collections.abc import Sequence

from fastapi import APIRouter, Request

from vmkeep.arm.authorization.lock_guard import check_locks
from vmkeep.arm.members import Body, Json
from vmkeep.arm.names import NETWORKS
from vmkeep.arm.paging import page
from vmkeep.arm.service import Here, MachineGroup, Service
from vmkeep.model.lock import Change
from vmkeep.model.network import Network
from vmkeep.model.restore_point import Warned

router = APIRouter()


class CheckBody(Body):
    """What a client wants of a check."""

    repair: bool = False


_LIST = f"/subscriptions/{{subscription}}/resourceGroups/{{group}}/providers/{NETWORKS}"
_CHECK = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Vmkeep.Fabric/check"


@router.get(_LIST)
def list_networks(request: Request, here: Here, group: MachineGroup) -> Json:
    """Return the host's networks."""
    return page(request, here.fabric.list_networks(), lambda network: _show(here, group, network))


@router.post(f"{_LIST}/{{network}}/attach")
def attach(here: Here, group: MachineGroup, network: str) -> Json:  # noqa: ARG001 - checked
    """Let the VMs of a network reach the wire server; a second time changes nothing."""
    return {"network": network, "changes": list(here.fabric.attach_network(network))}


@router.post(f"{_LIST}/{{network}}/detach")
def detach(here: Here, group: MachineGroup, network: str) -> Json:  # noqa: ARG001 - checked
    """Take back what attaching changed; a second time changes nothing."""
    here.fabric.detach_network(network)
    return {"network": network}


@router.post(_CHECK)
def check(here: Here, group: MachineGroup, body: CheckBody | None = None) -> Json:
    """Compare what the host has with what it should have; repair what is safe to repair, if asked."""
    repair = body is not None and body.repair
    if repair:
        check_locks(here, here.ids.group(group), Change.WRITE)
    report = here.engine.check_host(repair=repair)
    return {"value": _show_all(report.found), "repaired": _show_all(report.repaired)}


def _show_all(warnings: Sequence[Warned]) -> list[Json]:
    return [{"code": one.code, "message": one.message} for one in warnings]


def _show(here: Service, group: str, network: Network) -> Json:
    return {
        "id": here.ids.network(group, network.name),
        "name": network.name,
        "type": NETWORKS,
        "location": here.location,
        "properties": {
            "bridge": network.bridge,
            "subnet": network.subnet,
            "active": network.active,
            "attached": network.attached,
        },
    }
