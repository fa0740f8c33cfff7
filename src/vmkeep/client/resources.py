"""Resources in general: groups, locks, restore point collections."""

from dataclasses import dataclass

from vmkeep.client.backup import one_named
from vmkeep.client.errors import NotOne
from vmkeep.client.session import Json, Session

LOCKS = "providers/Microsoft.Authorization/locks"
_COLLECTIONS = "providers/Microsoft.Compute/restorePointCollections"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a lock is on, as people name it: nothing is the subscription, a group, or a resource in a group."""

    group: str | None = None
    resource: str | None = None
    resource_type: str | None = None


@dataclass(frozen=True, slots=True)
class Resources:
    """The operations of the command line on what is not backup."""

    session: Session

    @property
    def _root(self) -> str:
        return f"/subscriptions/{self.session.credentials.subscription}"

    def groups(self) -> list[Json]:
        """Return the resource groups."""
        return list(self.session.list(f"{self._root}/resourceGroups"))

    def resources(self, conditions: dict[str, str]) -> list[Json]:
        """Return all resources; conditions are `$filter` keys and values."""
        terms = " and ".join(f"{key} eq '{value}'" for key, value in conditions.items())
        return list(self.session.list(f"{self._root}/resources", **{"$filter": terms}))

    def scope_id(self, scope: Scope) -> str:
        """Return the ARM id of a scope; raises NotOne."""
        if scope.resource is None:
            return f"{self._root}/resourceGroups/{scope.group}" if scope.group else self._root
        given = {"resourceGroup": scope.group, "resourceType": scope.resource_type}
        found = self.resources({key: value for key, value in given.items() if value})
        alike = [one for one in found if one["name"].lower() == scope.resource.lower()]
        if len(alike) > 1:
            raise NotOne(
                why=f"{len(alike)} resources are named '{scope.resource}'",
                what_to_do="Say which with --resource-group and --resource-type.",
            )
        return str(one_named(found, scope.resource, "resource", "vmkeep resource list")["id"])

    def create_lock(self, scope: Scope, name: str, level: str, notes: str | None) -> Json:
        """Lock a scope, or change its lock."""
        properties = {"level": level, "notes": notes or ""}
        return self.session.put(f"{self.scope_id(scope)}/{LOCKS}/{name}", {"properties": properties})

    def locks(self, scope: Scope) -> list[Json]:
        """Return the locks that reach a scope."""
        return list(self.session.list(f"{self.scope_id(scope)}/{LOCKS}"))

    def delete_lock(self, scope: Scope, name: str) -> Json:
        """Take away the lock of that name, found in a scope; returns what it was. Raises NotOne."""
        locks = self.locks(scope)
        alike = [lock for lock in locks if lock["name"].lower() == name.lower()]
        if len(alike) > 1:
            raise NotOne(
                why=f"there are {len(alike)} locks named '{name}'",
                what_to_do="Say which with --resource-group and --resource-name.",
            )
        lock = one_named(locks, name, "lock", "vmkeep lock list")
        self.session.delete(lock["id"])
        return lock

    def collections(self) -> list[Json]:
        """Return the restore point collections."""
        return list(self.session.list(f"{self._root}/{_COLLECTIONS}"))

    def collection(self, name: str) -> Json:
        """Return a collection with its restore points, by its own name or its VM's; raises NotOne."""
        collections = self.collections()
        for one in collections:
            if one["properties"]["vmkeep"]["vm"] == name:
                return self._with_points(one)
        listing = "vmkeep restore-point collection list"
        return self._with_points(one_named(collections, name, "restore point collection", listing))

    def _with_points(self, collection: Json) -> Json:
        return self.session.get(collection["id"], **{"$expand": "restorePoints"})

    def delete_collection(self, collection: Json, *, force: bool) -> None:
        """Delete a collection's restore points and wait; raises ClientError when not all went."""
        self.session.delete(collection["id"], **({"forceDeletion": "true"} if force else {}))
