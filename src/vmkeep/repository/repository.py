"""A repository: the one object that others use."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Final, Self

from vmkeep.base.clock import Clock
from vmkeep.base.units import KIB
from vmkeep.model.disk_io import DiskSource, DiskTarget, OnProgress
from vmkeep.repository.check import Check, CheckReport
from vmkeep.repository.config import Config, create_config, read_config
from vmkeep.repository.disk_reader import DiskReader
from vmkeep.repository.index import Index
from vmkeep.repository.ingest import Ingest, IngestReport
from vmkeep.repository.manifest import Manifest, delete_manifest, list_manifests, read_manifest
from vmkeep.repository.prune import Prune, PruneReport
from vmkeep.repository.record_reader import RecordReader
from vmkeep.repository.restore import RestoreReport, restore_disk
from vmkeep.repository.sealed_objects import SealedObjects
from vmkeep.repository.sealing import RepositoryKey, Sealer
from vmkeep.repository.store.protocol import ObjectStore
from vmkeep.repository.tree import NodeReader
from vmkeep.repository.workers import Meter

DEFAULT_CHUNK_SIZE: Final = 128 * KIB


class Repository:
    """Encrypted, deduplicated storage of one vault's manifests. Safe from several threads and processes at once."""

    def __init__(self, objects: SealedObjects, config: Config, clock: Clock) -> None:
        """Use `create` or `open`."""
        self._objects = objects
        self._config = config
        self._clock = clock
        self._index = Index(objects)
        self._records = RecordReader(objects, self._index, config.chunk_size)
        self._nodes = NodeReader(self._records)

    @classmethod
    def create(
        cls, store: ObjectStore, key: RepositoryKey, *, clock: Clock, chunk_size: int = DEFAULT_CHUNK_SIZE
    ) -> Self:
        """Make an empty place a repository; PlaceNotEmpty when it is not empty."""
        sealer = Sealer(key)
        config = Config(chunk_size, clock.now())
        create_config(store, sealer, config)
        return cls(SealedObjects(store, sealer), config, clock)

    @classmethod
    def open(cls, store: ObjectStore, key: RepositoryKey, *, clock: Clock) -> Self:
        """Open what `create` made; NotARepository, WrongKey, FormatTooNew, ObjectDamaged or StoreUnreachable."""
        sealer = Sealer(key)
        return cls(SealedObjects(store, sealer), read_config(store, sealer), clock)

    def ingest(
        self,
        disks: Sequence[DiskSource],
        *,
        parent: str | None = None,
        attributes: Mapping[str, str] | None = None,
        on_progress: OnProgress | None = None,
    ) -> IngestReport:
        """Store disks as a new manifest; incremental ones are changes to the disk of that name in `parent`.

        Until it returns no new manifest is to be counted on; running it again is safe, and does not store twice.
        Raises ManifestMissing, ParentMissesDisk, RepositoryChanged, the store's errors, the source's and `on_progress`'s.
        """
        meter = Meter(on_progress, self._clock)
        ingest = Ingest(
            objects=self._objects,
            index=self._index,
            nodes=self._nodes,
            config=self._config,
            clock=self._clock,
            meter=meter,
        )
        return ingest.run(disks, parent, attributes or {})

    def manifest(self, manifest_id: str) -> Manifest:
        """Return a manifest; ManifestMissing or ObjectDamaged."""
        return read_manifest(self._objects, manifest_id)

    def list_manifests(self) -> list[Manifest]:
        """Return all manifests, oldest first; ObjectDamaged when one cannot be read."""
        return list_manifests(self._objects)

    def delete_manifest(self, manifest_id: str) -> None:
        """Make a manifest absent; it need not exist. Its room is freed by `prune`."""
        delete_manifest(self._objects, manifest_id)

    def prune(self, *, grace: timedelta, on_progress: OnProgress | None = None) -> PruneReport:
        """Condemn what no manifest needs, and delete what was condemned at least `grace` ago; PruneRunning, RepositoryDamaged.

        Safe beside ingests elsewhere for any grace; one longer than the longest ingest lets none of them fail.
        """
        meter = Meter(on_progress, self._clock)
        return Prune(self._objects, self._config, self._clock, grace, meter).run()

    def check(self, *, read_data: bool, on_progress: OnProgress | None = None) -> CheckReport:
        """Compare all objects with what they claim; with `read_data` also every byte of every pack."""
        return Check(self._objects, self._config, Meter(on_progress, self._clock)).run(read_data=read_data)

    def open_disk(self, manifest_id: str, disk_name: str) -> DiskReader:
        """Return random access to a disk; ManifestMissing or DiskMissing."""
        disk = self.manifest(manifest_id).disk(disk_name)
        return DiskReader(self._records, self._nodes, disk, self._config.chunk_size)

    def restore_disk(
        self,
        manifest_id: str,
        disk_name: str,
        target: DiskTarget,
        *,
        on_progress: OnProgress | None = None,
    ) -> RestoreReport:
        """Write a disk's data to a target that reads as zeros, in parallel; zeros are not written."""
        disk = self.open_disk(manifest_id, disk_name)
        meter = Meter(on_progress, self._clock)
        return restore_disk(disk, self._records, self._config.chunk_size, target, meter)
