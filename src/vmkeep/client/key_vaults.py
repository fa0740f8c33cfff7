"""Key vaults in the words of their users: key vaults, access policies, keys, secrets."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import dataclass

from vmkeep.client.backup import Backup, one_named
from vmkeep.client.session import Json, Session

_PROVIDER = "providers/Microsoft.KeyVault"
BACKUP_SERVICE = "262044b1-e2ce-469f-a196-69ab7ada62d3"
"""Who the backups are to a key vault, as in Azure."""
Rights = dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class KeyVaults:
    """The operations of the command line on key vaults."""

    session: Session

    @property
    def _root(self) -> str:
        return f"/subscriptions/{self.session.credentials.subscription}"

    def key_vaults(self) -> list[Json]:
        """Return the key vaults."""
        return list(self.session.list(f"{self._root}/{_PROVIDER}/vaults"))

    def get(self, name: str) -> Json:
        """Return one; raises NotOne."""
        return one_named(self.key_vaults(), name, "key vault", "vmkeep keyvault list")

    def create(self, name: str, group: str | None, properties: Json) -> Json:
        """Make a key vault in which this client may do everything."""
        own = self.session.get(Backup(self.session).group())
        parent = f"{self._root}/resourceGroups/{group}" if group else own["id"]
        credentials = self.session.credentials
        everything = {"keys": ["all"], "secrets": ["all"]}
        policy = {
            "tenantId": credentials.tenant,
            "objectId": credentials.client_id,
            "permissions": everything,
        }
        body = {"location": own["location"], "properties": {**properties, "accessPolicies": [policy]}}
        return self.session.put(f"{parent}/{_PROVIDER}/vaults/{name}", body)

    def set_policy(self, name: str, object_id: str, rights: Rights) -> Json:
        """Put an identity's rights in place of those of the same kinds it had."""
        one = self.get(name)
        policies = one["properties"]["accessPolicies"]
        others = [policy for policy in policies if policy["objectId"].lower() != object_id.lower()]
        had: Json = next((policy["permissions"] for policy in policies if policy not in others), {})
        policy = {
            "tenantId": one["properties"]["tenantId"],
            "objectId": object_id,
            "permissions": {**had, **rights},
        }
        return self._change(one, {"accessPolicies": [*others, policy]})

    def delete_policy(self, name: str, object_id: str) -> Json:
        """Take all rights of an identity away; raises NotOne."""
        one = self.get(name)
        named = [{**policy, "name": policy["objectId"]} for policy in one["properties"]["accessPolicies"]]
        gone = one_named(named, object_id, "access policy", f"vmkeep keyvault show --name {name}")
        left = [policy for policy in named if policy is not gone]
        return self._change(one, {"accessPolicies": left})

    def delete(self, name: str) -> Json:
        """Delete a key vault so that it can be recovered; returns what it was."""
        one = self.get(name)
        self.session.delete(one["id"])
        return one

    def deleted(self) -> list[Json]:
        """Return those that can be recovered."""
        return list(self.session.list(f"{self._root}/{_PROVIDER}/deletedVaults"))

    def recover(self, name: str) -> Json:
        """Take a deletion back; raises NotOne."""
        one = self._deleted(name)
        body = {"location": one["properties"]["location"], "properties": {"createMode": "recover"}}
        return self.session.put(one["properties"]["vaultId"], body)

    def purge(self, name: str) -> None:
        """Remove a deleted key vault for ever; raises NotOne."""
        self.session.post(f"{self._deleted(name)['id']}/purge")

    def entries(self, name: str, kind: str) -> "Entries":
        """Return a key vault's keys or secrets; raises NotOne."""
        return Entries(self.session.at(self.get(name)["properties"]["vaultUri"]), kind)

    def _deleted(self, name: str) -> Json:
        return one_named(self.deleted(), name, "deleted key vault", "vmkeep keyvault list-deleted")

    def _change(self, one: Json, properties: Json) -> Json:
        return self.session.patch(one["id"], {"properties": properties})


@dataclass(frozen=True, slots=True)
class Entries:
    """The keys or secrets of one key vault."""

    session: Session
    kind: str

    def entries(self) -> list[Json]:
        """Return all, without versions."""
        return list(self.session.list(f"/{self.kind}"))

    def versions(self, name: str) -> list[Json]:
        """Return the versions of one."""
        return list(self.session.list(f"/{self.kind}/{name}/versions"))

    def deleted(self) -> list[Json]:
        """Return those that can be recovered."""
        return list(self.session.list(f"/deleted{self.kind}"))

    def get(self, name: str, version: str | None = None) -> Json:
        """Return one; a secret with its value."""
        return self.session.get(self._path(name, version))

    def create_key(self, name: str, body: Json) -> Json:
        """Make a key, or its next version."""
        return self.session.post(f"/keys/{name}/create", {"kty": "RSA", **body})

    def rotate_key(self, name: str) -> Json:
        """Make a key's next version."""
        return self.session.post(f"/keys/{name}/rotate")

    def set_secret(self, name: str, value: str, body: Json) -> Json:
        """Keep a secret, or its next version."""
        return self.session.put(f"/secrets/{name}", {**body, "value": value})

    def change(self, name: str, version: str | None, body: Json) -> Json:
        """Change what is said about one."""
        return self.session.patch(self._path(name, version), body)

    def delete(self, name: str) -> Json:
        """Delete one so that it can be recovered; returns it."""
        return self.session.delete(f"/{self.kind}/{name}")

    def recover(self, name: str) -> Json:
        """Take a deletion back."""
        return self.session.post(f"/deleted{self.kind}/{name}/recover")

    def purge(self, name: str) -> None:
        """Remove a deleted one for ever."""
        self.session.delete(f"/deleted{self.kind}/{name}")

    def backup(self, name: str) -> bytes:
        """Return one with all versions, sealed."""
        return _read(self.session.post(f"/{self.kind}/{name}/backup")["value"])

    def restore(self, blob: bytes) -> Json:
        """Put back what `backup` returned."""
        return self.session.post(f"/{self.kind}/restore", {"value": _write(blob)})

    def _path(self, name: str, version: str | None) -> str:
        return f"/{self.kind}/{name}/{version}" if version else f"/{self.kind}/{name}"


def _read(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _write(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()
