"""Who may do what in a key vault: a pure rule on access policies. Rights have Azure's names."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

BACKUP_SERVICE = "262044b1-e2ce-469f-a196-69ab7ada62d3"
"""Who the backups are, to a key vault: the id by which Azure knows its Backup Management Service everywhere."""


class Kind(StrEnum):
    """What a key vault keeps."""

    KEYS = "keys"
    SECRETS = "secrets"


class Right(StrEnum):
    """What an access policy can permit for keys or for secrets."""

    GET = "get"
    LIST = "list"
    UPDATE = "update"
    CREATE = "create"
    IMPORT = "import"
    SET = "set"
    DELETE = "delete"
    RECOVER = "recover"
    PURGE = "purge"
    BACKUP = "backup"
    RESTORE = "restore"
    ROTATE = "rotate"
    ENCRYPT = "encrypt"
    DECRYPT = "decrypt"
    WRAP_KEY = "wrapKey"
    UNWRAP_KEY = "unwrapKey"


ALL = "all"
Names = tuple[str, ...]
_SHARED = (Right.GET, Right.LIST, Right.DELETE, Right.RECOVER, Right.PURGE, Right.BACKUP, Right.RESTORE)
RIGHTS: Mapping[Kind, tuple[Right, ...]] = {
    Kind.KEYS: (
        *_SHARED,
        Right.UPDATE,
        Right.CREATE,
        Right.IMPORT,
        Right.ROTATE,
        Right.ENCRYPT,
        Right.DECRYPT,
        Right.WRAP_KEY,
        Right.UNWRAP_KEY,
    ),
    Kind.SECRETS: (*_SHARED, Right.SET),
}
FOR_BACKUPS: Mapping[str, tuple[Right, ...]] = {Kind.KEYS: (Right.GET, Right.WRAP_KEY, Right.UNWRAP_KEY)}
"""What the backup service needs to keep a vault's data key."""


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """What one identity may do; `rights` are names by kind, as clients sent them, unknown kinds too."""

    object_id: str
    tenant: str
    rights: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def with_rights(self, more: Mapping[str, tuple[str, ...]]) -> "AccessPolicy":
        """Return the policy with these rights too."""
        return self._combined(more, lambda own, others: tuple(dict.fromkeys((*own, *others))))

    def without_rights(self, fewer: Mapping[str, tuple[str, ...]]) -> "AccessPolicy | None":
        """Return the policy without these rights; None when none are left."""
        left = self._combined(fewer, _without)
        return left if any(left.rights.values()) else None

    def _combined(
        self, other: Mapping[str, tuple[str, ...]], combine: Callable[[Names, Names], Names]
    ) -> "AccessPolicy":
        kinds = dict.fromkeys((*self.rights, *other))
        return replace(
            self, rights={kind: combine(self.rights.get(kind, ()), other.get(kind, ())) for kind in kinds}
        )


def has_right(policies: Iterable[AccessPolicy], identity: str, kind: Kind, right: Right) -> bool:
    """Return whether an identity has a right: some policy of its own names it, or `all`; case does not matter."""
    enough = {right.value.lower(), ALL}
    return any(
        policy.object_id.lower() == identity.lower()
        and enough & {given.lower() for given in policy.rights.get(kind, ())}
        for policy in policies
    )


def _without(own: Names, others: Names) -> Names:
    gone = {name.lower() for name in others}
    return () if ALL in gone else tuple(name for name in own if name.lower() not in gone)
