"""qemu-guest-agent: the second way into a guest, and the one that can thaw what somebody else froze."""

import json
from math import ceil
from typing import Any

import libvirt
import libvirt_qemu

from vmkeep.fabric.errors import GuestAgentRefused, GuestAgentSilent, HypervisorRefused, VmVanished
from vmkeep.fabric.host import Domain, translate

PING_TIMEOUT_S = 2
THAW_TIMEOUT_S = 5

_SILENT = {
    getattr(libvirt, name, None)
    for name in (
        "VIR_ERR_AGENT_UNRESPONSIVE",
        "VIR_ERR_AGENT_UNSYNCED",
        "VIR_ERR_AGENT_COMMAND_TIMEOUT",  # newer than libvirt 9.0
        "VIR_ERR_ARGUMENT_UNSUPPORTED",  # the VM has no channel for the agent
        "VIR_ERR_OPERATION_INVALID",  # the VM is off
        "VIR_ERR_OPERATION_TIMEOUT",  # another call to the agent hangs
    )
}


def ping(domain: Domain) -> bool:
    """Whether qemu-guest-agent answers within two seconds."""
    try:
        _command(domain, "guest-ping", timeout_s=PING_TIMEOUT_S)
    except (GuestAgentSilent, GuestAgentRefused, VmVanished):
        return False
    return True


def freeze(domain: Domain, *, timeout_s: float) -> int:
    """Freeze the guest's file systems and return how many. Raises GuestAgentSilent, GuestAgentRefused.

    After an error the guest may be frozen all the same, or become so later: thaw it.
    """
    return int(_command(domain, "guest-fsfreeze-freeze", timeout_s=timeout_s))


def thaw(domain: Domain) -> int:
    """Thaw the guest's file systems, whoever froze them, and return how many were frozen.

    Linux counts every file system that FITHAW succeeded on. Raises GuestAgentSilent, GuestAgentRefused.
    """
    return int(_command(domain, "guest-fsfreeze-thaw", timeout_s=THAW_TIMEOUT_S))


def _command(domain: Domain, command: str, *, timeout_s: float) -> Any:  # the guest's JSON
    try:
        answer = libvirt_qemu.qemuAgentCommand(domain, json.dumps({"execute": command}), ceil(timeout_s), 0)
    except libvirt.libvirtError as error:
        refused = translate(error, f"pass {command} on", vm_uuid=domain.UUIDString())
        if not isinstance(refused, HypervisorRefused):
            raise refused from error
        kind = GuestAgentSilent if error.get_error_code() in _SILENT else GuestAgentRefused
        raise kind(domain.name(), command, refused.message) from error
    return json.loads(answer)["return"]
