"""ARM's identifiers: how vmkeep's things are named on the wire, and how such names are read.

Names of a VM's container and item are Azure's: `iaasvmcontainerv2;{resource group};{VM}`, prefixed with
`IaasVMContainer;` and `VM;`. Clients vary their case, so names are read without regard to it.
"""

from dataclasses import dataclass

from vmkeep.arm.errors import BadResourceId, BadResourceName

VAULTS = "Microsoft.RecoveryServices/vaults"
MACHINES = "Microsoft.Compute/virtualMachines"
NETWORKS = "Vmkeep.Fabric/networks"
KEY_VAULTS = "Microsoft.KeyVault/vaults"
KIND = "iaasvmcontainerv2"


@dataclass(frozen=True, slots=True)
class MachineName:
    """What a container's, an item's or a VM's id says: the VM and its resource group."""

    resource_group: str
    name: str

    @property
    def short(self) -> str:
        """The name shared by container and item, without their prefixes."""
        return f"{KIND};{self.resource_group};{self.name}"

    @property
    def container(self) -> str:
        """Name of the protection container."""
        return f"IaasVMContainer;{self.short}"

    @property
    def item(self) -> str:
        """Name of the protected item."""
        return f"VM;{self.short}"


@dataclass(frozen=True, slots=True)
class ResourceIds:
    """Builds the ids of all resources of one subscription."""

    subscription: str

    @property
    def root(self) -> str:
        """Id of the subscription itself."""
        return f"/subscriptions/{self.subscription}"

    def group(self, resource_group: str) -> str:
        """Id of a resource group."""
        return f"{self.root}/resourceGroups/{resource_group}"

    def vault(self, resource_group: str, name: str) -> str:
        """Id of a vault."""
        return f"{self.group(resource_group)}/providers/{VAULTS}/{name}"

    def machine(self, machine: MachineName) -> str:
        """Id of a VM."""
        return f"{self.group(machine.resource_group)}/providers/{MACHINES}/{machine.name}"

    def network(self, resource_group: str, name: str) -> str:
        """Id of a network of the fabric."""
        return f"{self.group(resource_group)}/providers/{NETWORKS}/{name}"


def container_id(vault_id: str, machine: MachineName) -> str:
    """Id of a VM's protection container."""
    return f"{vault_id}/backupFabrics/Azure/protectionContainers/{machine.container}"


def item_id(vault_id: str, machine: MachineName) -> str:
    """Id of a VM's protected item."""
    return f"{container_id(vault_id, machine)}/protectedItems/{machine.item}"


def policy_id(vault_id: str, name: str) -> str:
    """Id of a policy."""
    return f"{vault_id}/backupPolicies/{name}"


def job_id(vault_id: str, name: str) -> str:
    """Id of a job."""
    return f"{vault_id}/backupJobs/{name}"


def read_item_name(name: str) -> MachineName:
    """Read the name of a container or an item, with or without its prefix; raises BadResourceName."""
    parts = name.split(";")
    if parts[0].lower() in {"iaasvmcontainer", "vm"}:
        parts = parts[1:]
    if len(parts) != 3 or parts[0].lower() != KIND or not all(parts):  # noqa: PLR2004 - kind, group, VM
        raise BadResourceName(name=name)
    return MachineName(resource_group=parts[1], name=parts[2])


def read_machine_id(resource_id: str) -> MachineName:
    """Read a VM's ARM id; raises BadResourceId."""
    parts = [part for part in resource_id.split("/") if part]
    lower = [part.lower() for part in parts]
    shape = lower[0::2] if len(parts) == 8 else []  # noqa: PLR2004 - /subscriptions/s/resourceGroups/g/providers/n/t/v
    if shape[:3] != ["subscriptions", "resourcegroups", "providers"] or lower[5:7] != [
        "microsoft.compute",
        "virtualmachines",
    ]:
        raise BadResourceId(what="VM id", id=resource_id)
    return MachineName(resource_group=parts[3], name=parts[7])


def last_segment(resource_id: str) -> str:
    """Return the name at the end of an id; an id without slashes is a name already."""
    return resource_id.rstrip("/").rpartition("/")[2]
