"""A VM as ARM shows it."""

from datetime import datetime

from vmkeep.arm.members import Json
from vmkeep.arm.names import MACHINES
from vmkeep.arm.service import Service
from vmkeep.arm.wire_time import show_time
from vmkeep.base.units import GIB
from vmkeep.model.machine import AgentState, Disk, MachineState, VirtualMachine

_POWER = {
    MachineState.RUNNING: ("PowerState/running", "VM running"),
    MachineState.PAUSED: ("PowerState/paused", "VM paused"),
    MachineState.OFF: ("PowerState/stopped", "VM stopped"),
    MachineState.CRASHED: ("PowerState/crashed", "VM crashed"),
    MachineState.OTHER: ("PowerState/unknown", "VM in another state"),
}
_AGENT = {
    AgentState.READY: ("ProvisioningState/succeeded", "Info", "Ready", "Guest Agent is running"),
    AgentState.SILENT: (
        "ProvisioningState/Unavailable",
        "Warning",
        "Not Ready",
        "VM status blob is not up to date: the agent was seen before, but not lately.",
    ),
    AgentState.UNSEEN: (
        "ProvisioningState/Unavailable",
        "Warning",
        "Not Ready",
        "VM Agent is not installed or has never reached the wire server.",
    ),
}


def show_machine(here: Service, vm: VirtualMachine) -> Json:
    """Return a VM; `properties.vmkeep` holds what Azure has no word for."""
    name = here.machine_name(vm.name)
    return {
        "id": here.ids.machine(name),
        "name": vm.name,
        "type": MACHINES,
        "location": here.location,
        "tags": {},
        "properties": {
            "vmId": vm.uuid,
            "provisioningState": "Succeeded",
            "hardwareProfile": {},
            "osProfile": {"computerName": vm.name},
            "storageProfile": _storage(vm),
            "networkProfile": {"networkInterfaces": []},
            "vmkeep": _vmkeep(vm),
        },
    }


def show_instance_view(here: Service, vm: VirtualMachine) -> Json:
    """Return how the VM is right now: power, agent, disks."""
    now = here.clock.now()
    code, text = _POWER[vm.state]
    agent_code, level, short, message = _AGENT[vm.agent]
    agent = _status(agent_code, short, now, level=level, message=message)
    return {
        "computerName": vm.name,
        "vmAgent": {"vmAgentVersion": vm.agent_version or "Unknown", "statuses": [agent]},
        "disks": [
            {
                "name": disk.name,
                "statuses": [_status("ProvisioningState/succeeded", "Provisioning succeeded", now)],
            }
            for disk in vm.disks
        ],
        "statuses": [
            _status("ProvisioningState/succeeded", "Provisioning succeeded", now),
            _status(code, text, now),
        ],
        "vmkeep": _vmkeep(vm),
    }


def _status(code: str, text: str, now: datetime, *, level: str = "Info", message: str = "") -> Json:
    return {
        "code": code,
        "level": level,
        "displayStatus": text,
        "message": message,
        "time": show_time(now),
    }


def _storage(vm: VirtualMachine) -> Json:
    os_disk = next((disk for disk in vm.disks if disk.lun < 0), None)
    profile: Json = {
        "dataDisks": [{"lun": disk.lun, **_disk(disk)} for disk in vm.disks if disk.lun >= 0],
    }
    if os_disk is not None:
        profile["osDisk"] = {"osType": "Linux", **_disk(os_disk)}
        if os_disk.encrypted:
            profile["osDisk"]["encryptionSettings"] = {"enabled": True}
    return profile


def _disk(disk: Disk) -> Json:
    return {
        "name": disk.name,
        "createOption": "Attach",
        "caching": "None",
        "diskSizeGB": -(-disk.size_bytes // GIB),
    }


def _key(disk: Disk) -> Json | None:
    return {"keyVault": disk.key.key_vault, "secret": disk.key.secret} if disk.key else None


def _vmkeep(vm: VirtualMachine) -> Json:
    return {
        "uuid": vm.uuid,
        "state": vm.state.value,
        "expectedConsistency": vm.expected_consistency.value,
        "agent": vm.agent.value,
        "agentVersion": vm.agent_version,
        "guestAgent": vm.guest_agent,
        "ips": [nic.ip for nic in vm.nics if nic.ip],
        "networks": [nic.network for nic in vm.nics if nic.network],
        "disks": [
            {
                "name": disk.name,
                "lun": disk.lun,
                "path": disk.path,
                "format": disk.format.value,
                "sizeBytes": disk.size_bytes,
                "encrypted": disk.encrypted,
                "key": _key(disk),
            }
            for disk in vm.disks
        ],
        "excludedDisks": list(vm.excluded_disks),
    }
