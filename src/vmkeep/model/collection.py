"""Where restore points stand in ARM: one collection per VM, in a resource group that the service owns.

A collection is no record of its own: it is the recovery points of an item that have an instant tier.
"""

from dataclasses import dataclass

COLLECTIONS = "Microsoft.Compute/restorePointCollections"


@dataclass(frozen=True, slots=True)
class CollectionPlace:
    """Names the collections of one subscription and location, as Azure Backup does."""

    subscription: str
    location: str

    @property
    def resource_group(self) -> str:
        """The resource group that all collections are in."""
        return f"AzureBackupRG_{self.location}_1"

    def collection_id(self, vm_name: str) -> str:
        """ARM id of a VM's collection: what locks are compared with."""
        group = f"/subscriptions/{self.subscription}/resourceGroups/{self.resource_group}"
        return f"{group}/providers/{COLLECTIONS}/{collection_name(vm_name)}"


def collection_name(vm_name: str) -> str:
    """Return the name of a VM's collection."""
    return f"AzureBackup_{vm_name}_1"
