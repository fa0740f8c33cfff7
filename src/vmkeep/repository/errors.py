"""What can go wrong with a repository, named for what the caller can do.

VmkeepError
├── StoreUnreachable   try later
├── StoreRefused       correct credentials or permissions
├── StoreFull          make room
├── ObjectMissing, ObjectExists
├── NotARepository, PlaceNotEmpty, WrongKey, FormatTooNew      wrong place, key or version of vmkeep
├── ObjectDamaged, RepositoryDamaged                           run check
├── ManifestMissing, DiskMissing, ParentMissesDisk             wrong name
└── RepositoryChanged, PruneRunning                            try later
"""

from dataclasses import dataclass

from vmkeep.base.errors import Retry, VmkeepError


@dataclass(eq=False)
class StoreUnreachable(VmkeepError):
    """The object store does not answer, or answers with a passing fault."""

    retry = Retry.LATER
    text = "object store {e.place} cannot be reached: {e.why}"
    remedy = "Check that {e.place} is up and reachable from this host; the work is tried again by itself."
    place: str
    why: str


@dataclass(eq=False)
class StoreRefused(VmkeepError):
    """The object store understood and said no."""

    retry = Retry.AFTER_CHANGE
    text = "object store {e.place} refuses access: {e.why}"
    remedy = "Give vmkeep credentials that may list, read, create and delete objects in {e.place}."
    place: str
    why: str


@dataclass(eq=False)
class StoreFull(VmkeepError):
    """The object store has no room left."""

    retry = Retry.AFTER_CHANGE
    text = "object store {e.place} is full"
    remedy = "Make room in {e.place}, or shorten retention and prune."
    place: str


@dataclass(eq=False)
class ObjectMissing(VmkeepError):
    """An object that must exist does not."""

    text = "object '{e.name}' is missing from {e.place}"
    remedy = "Run a check of the vault: it names the recovery points that are hurt."
    place: str
    name: str


@dataclass(eq=False)
class ObjectExists(VmkeepError):
    """An object was to be created and is there already."""

    text = "object '{e.name}' already exists in {e.place}"
    place: str
    name: str


@dataclass(eq=False)
class NotARepository(VmkeepError):
    """The place holds no repository."""

    retry = Retry.AFTER_CHANGE
    text = "{e.place} holds no vmkeep repository"
    remedy = "Check the address of the vault's storage, or create a repository there."
    place: str


@dataclass(eq=False)
class PlaceNotEmpty(VmkeepError):
    """A repository is only created where nothing is."""

    retry = Retry.AFTER_CHANGE
    text = "{e.place} is not empty: it holds '{e.name}'"
    remedy = "Choose an empty place, or open the repository that is there."
    place: str
    name: str


@dataclass(eq=False)
class WrongKey(VmkeepError):
    """The repository was made with another key."""

    retry = Retry.AFTER_CHANGE
    text = "the key does not open the repository in {e.place}"
    remedy = "Use the data key of the vault that this repository belongs to."
    place: str


@dataclass(eq=False)
class FormatTooNew(VmkeepError):
    """The repository was written by a later vmkeep."""

    retry = Retry.AFTER_CHANGE
    text = "the repository in {e.place} has format version {e.found}; this vmkeep knows up to {e.known}"
    remedy = "Update vmkeep on this host."
    place: str
    found: int
    known: int


@dataclass(eq=False)
class ObjectDamaged(VmkeepError):
    """An object's bytes are not those that were written."""

    text = "object '{e.name}' is damaged: {e.why}"
    remedy = "Run a check of the vault: it names the recovery points that are hurt."
    name: str
    why: str


@dataclass(eq=False)
class RecordMissing(VmkeepError):
    """A chunk or node that is needed is in no pack that the index knows."""

    text = "{e.kind} {e.record} is needed but not in the repository"
    remedy = "Run a check of the vault: it names the recovery points that are hurt."
    kind: str
    record: str


@dataclass(eq=False)
class RepositoryDamaged(VmkeepError):
    """Manifests need records that the repository does not have."""

    retry = Retry.AFTER_CHANGE
    text = "{e.missing} record(s) or pack(s) that recovery points need are missing from {e.place}; nothing was deleted"
    remedy = "Run a check of the vault: it names the recovery points that are hurt."
    place: str
    missing: int


@dataclass(eq=False)
class ManifestMissing(VmkeepError):
    """No such manifest."""

    text = "manifest {e.manifest} is not in the repository"
    remedy = "Choose another recovery point."
    manifest: str


@dataclass(eq=False)
class DiskMissing(VmkeepError):
    """The manifest has no such disk."""

    text = "manifest {e.manifest} has no disk '{e.disk}'"
    remedy = "Choose one of the recovery point's disks."
    manifest: str
    disk: str


@dataclass(eq=False)
class ParentMissesDisk(VmkeepError):
    """An incremental disk has nothing to be incremental to."""

    retry = Retry.AFTER_CHANGE
    text = "disk '{e.disk}' comes with changes only, but parent {e.parent} does not hold it"
    remedy = "Read the whole disk."
    disk: str
    parent: str


@dataclass(eq=False)
class RepositoryChanged(VmkeepError):
    """What the run relied on was deleted while it ran."""

    retry = Retry.LATER
    text = "while disks were being stored, {e.what}"
    remedy = "Run the backup again; what was stored is not stored twice."
    what: str


@dataclass(eq=False)
class PruneRunning(VmkeepError):
    """Somebody else prunes this repository."""

    retry = Retry.LATER
    text = "the repository is being pruned by {e.owner} until {e.expires}"
    remedy = "Wait for it to end; its right to prune ends at {e.expires} by itself."
    owner: str
    expires: str
