"""Vaults and their policies. Names differ by more than case, as everywhere in ARM."""

from sqlalchemy import func, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql import ColumnElement

from vmkeep.catalog.errors import AlreadyExists, PolicyInUse, PolicyNotFound, VaultNotEmpty, VaultNotFound
from vmkeep.catalog.rows import Records, delete_rows, put_row, values_of
from vmkeep.catalog.schema import items, policies, vaults
from vmkeep.model.protection import Policy, Vault


class VaultRecords(Records):
    """The vaults."""

    def create_vault(self, vault: Vault) -> None:
        """Keep a new vault; raises AlreadyExists."""
        try:
            with self._database.writing() as connection:
                connection.execute(insert(vaults).values(**values_of(vault)))
        except IntegrityError as error:
            raise AlreadyExists(what="vault", name=vault.name) from error

    def put_vault(self, vault: Vault) -> None:
        """Keep a vault, new or changed; raises AlreadyExists when another vault has its name.

        The wrapped key of one that is there stays: `put_wrapped_key` alone changes it.
        """
        changed = {name: value for name, value in values_of(vault).items() if name != "wrapped_key"}
        try:
            with self._database.writing() as connection:
                found = connection.execute(update(vaults).where(vaults.c.id == vault.id).values(**changed))
                if not found.rowcount:
                    connection.execute(insert(vaults).values(**values_of(vault)))
        except IntegrityError as error:
            raise AlreadyExists(what="vault", name=vault.name) from error

    def put_wrapped_key(self, vault_id: str, wrapped_key: bytes) -> None:
        """Keep a vault's data key, wrapped anew; raises VaultNotFound."""
        with self._database.writing() as connection:
            change = update(vaults).where(vaults.c.id == vault_id).values(wrapped_key=wrapped_key)
            if not connection.execute(change).rowcount:
                raise VaultNotFound(vault=vault_id)

    def find_vault(self, resource_group: str, name: str) -> Vault | None:
        """Return the vault of that name, or None."""
        return self._find_vault(
            func.lower(vaults.c.resource_group) == resource_group.lower(),
            func.lower(vaults.c.name) == name.lower(),
        )

    def get_vault(self, resource_group: str, name: str) -> Vault:
        """Return the vault of that name; raises VaultNotFound."""
        vault = self.find_vault(resource_group, name)
        if vault is None:
            raise VaultNotFound(vault=name)
        return vault

    def get_vault_by_id(self, vault_id: str) -> Vault:
        """Return a vault; raises VaultNotFound."""
        vault = self._find_vault(vaults.c.id == vault_id)
        if vault is None:
            raise VaultNotFound(vault=vault_id)
        return vault

    def list_vaults(self, resource_group: str | None = None) -> list[Vault]:
        """Return the vaults by name, of one resource group or of all."""
        query = select(vaults).order_by(vaults.c.name)
        if resource_group is not None:
            query = query.where(func.lower(vaults.c.resource_group) == resource_group.lower())
        with self._database.reading() as connection:
            return [Vault(**row) for row in connection.execute(query).mappings()]

    def delete_vault(self, vault_id: str) -> None:
        """Forget an empty vault, its policies and its jobs; raises VaultNotFound, VaultNotEmpty."""
        vault = self.get_vault_by_id(vault_id)
        try:
            with self._database.writing() as connection:
                delete_rows(connection, vaults, vaults.c.id == vault_id)
        except IntegrityError as error:
            raise VaultNotEmpty(vault=vault.name, items=self._count_items(vault_id)) from error

    def _count_items(self, vault_id: str) -> int:
        query = select(func.count()).select_from(items).where(items.c.vault_id == vault_id)
        with self._database.reading() as connection:
            return connection.execute(query).scalar_one()

    def _find_vault(self, *where: ColumnElement[bool]) -> Vault | None:
        with self._database.reading() as connection:
            row = connection.execute(select(vaults).where(*where)).mappings().first()
        return Vault(**row) if row else None


class PolicyRecords(Records):
    """The policies of each vault."""

    def put_policy(self, policy: Policy) -> None:
        """Keep a policy, new or changed; raises VaultNotFound."""
        try:
            with self._database.writing() as connection:
                name = connection.execute(
                    select(policies.c.name).where(*_is_policy(policy.vault_id, policy.name))
                ).scalar()
                put_row(connection, policies, {**values_of(policy), "name": name or policy.name})
        except IntegrityError as error:
            raise VaultNotFound(vault=policy.vault_id) from error

    def get_policy(self, vault_id: str, name: str) -> Policy:
        """Return a policy of a vault; raises PolicyNotFound."""
        with self._database.reading() as connection:
            row = connection.execute(select(policies).where(*_is_policy(vault_id, name))).mappings().first()
        if row is None:
            raise PolicyNotFound(policy=name)
        return Policy(**row)

    def list_policies(self, vault_id: str) -> list[Policy]:
        """Return a vault's policies by name."""
        query = select(policies).where(policies.c.vault_id == vault_id).order_by(policies.c.name)
        with self._database.reading() as connection:
            return [Policy(**row) for row in connection.execute(query).mappings()]

    def delete_policy(self, vault_id: str, name: str) -> None:
        """Forget a policy; raises PolicyNotFound, PolicyInUse."""
        try:
            with self._database.writing() as connection:
                found = delete_rows(connection, policies, *_is_policy(vault_id, name))
        except IntegrityError as error:
            raise PolicyInUse(policy=name) from error
        if not found:
            raise PolicyNotFound(policy=name)


def _is_policy(vault_id: str, name: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return policies.c.vault_id == vault_id, func.lower(policies.c.name) == name.lower()
