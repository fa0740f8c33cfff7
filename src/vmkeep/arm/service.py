"""What every route has at hand."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from vmkeep.arm.errors import ResourceGroupNotFound, SubscriptionNotFound
from vmkeep.arm.identity.clients import Clients
from vmkeep.arm.identity.tokens import TokenIssuer
from vmkeep.arm.names import MachineName, ResourceIds
from vmkeep.arm.operations import FinishedOperations
from vmkeep.arm.ports import EnginePort, FabricPort, RepositoriesPort
from vmkeep.base.clock import Clock
from vmkeep.catalog import Catalog
from vmkeep.keyvault.key_vaults import KeyVaults
from vmkeep.model.collection import CollectionPlace
from vmkeep.model.protection import Vault


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The parts below the API, and the identity of this installation."""

    catalog: Catalog
    engine: EnginePort
    fabric: FabricPort
    repositories: RepositoriesPort
    key_vaults: KeyVaults
    clock: Clock
    tokens: TokenIssuer
    clients: Clients
    finished: FinishedOperations
    subscription: str
    resource_group: str
    """The resource group that this host's VMs are in."""
    location: str
    netlocs: tuple[str, ...] = ()
    """Names by which the service is reached besides the one in a request, such as `backup.example.com:8443`."""

    @property
    def tenant(self) -> str:
        """GUID of the only tenant."""
        return self.tokens.tenant

    @property
    def ids(self) -> ResourceIds:
        """Builds resource ids of the only subscription."""
        return ResourceIds(self.subscription)

    def vault_id(self, vault: Vault) -> str:
        """Return a vault's ARM id."""
        return self.ids.vault(vault.resource_group, vault.name)

    def machine_name(self, vm_name: str) -> MachineName:
        """Return the wire name of one of this host's VMs."""
        return MachineName(resource_group=self.resource_group, name=vm_name)

    @property
    def place(self) -> CollectionPlace:
        """Names the restore point collections."""
        return CollectionPlace(self.subscription, self.location)

    def resource_groups(self) -> list[str]:
        """Return the resource groups there are: the VMs' own, those of the vaults and key vaults, and that of restore points.

        The last is there from an item's first recovery point on.
        """
        others = {vault.resource_group for vault in self.catalog.list_vaults()}
        others |= {one.resource_group for one in self.key_vaults.list()}
        if any(item.last_recovery_point for item in self.catalog.list_items()):
            others.add(self.place.resource_group)
        return [self.resource_group, *sorted(others - {self.resource_group})]


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    asked = request.path_params.get("subscription")
    if asked is not None and asked.lower() != service.subscription.lower():
        raise SubscriptionNotFound(id=asked, known=service.subscription)
    return service


Here = Annotated[Service, Depends(_service)]
"""The service; a route that names a subscription has had it checked."""


def _machine_group(here: Here, group: str) -> str:
    if group.lower() != here.resource_group.lower():
        raise ResourceGroupNotFound(name=group, known=here.resource_group)
    return here.resource_group


MachineGroup = Annotated[str, Depends(_machine_group)]
"""The resource group in the path, which must be the VMs' own."""
