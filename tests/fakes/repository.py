"""A repository that keeps its chunks as files and notes every upload."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

from tests.fakes.fabric import BLOCK
from tests.fakes.files import read_json, write_json
from vmkeep.base.errors import Retry, VmkeepError
from vmkeep.base.ids import new_guid
from vmkeep.model.disk_io import DiskSource, DiskTarget, ExtentKind, OnProgress, TransferProgress
from vmkeep.model.protection import Vault


@dataclass(eq=False)
class ManifestNotFound(VmkeepError):
    text = "the repository has no manifest '{e.manifest_id}'"
    manifest_id: str


@dataclass(eq=False)
class StoreUnreachable(VmkeepError):
    text = "the object store does not answer"
    retry = Retry.LATER


@dataclass(eq=False)
class KeyRevoked(VmkeepError):
    text = "the key vault does not let backups use the key"
    retry = Retry.AFTER_CHANGE


@dataclass(frozen=True)
class FakeStoredDisk:
    name: str
    size_bytes: int
    chunks: Mapping[str, str]


@dataclass(frozen=True)
class FakeManifest:
    id: str
    disks: Sequence[FakeStoredDisk]
    attributes: Mapping[str, str]


@dataclass
class FakeIngestReport:
    manifest_id: str = field(default_factory=new_guid)
    read_bytes: int = 0
    stored_bytes: int = 0


class FakeRepository:
    """Chunks are blocks named by their hash."""

    def __init__(self, root: Path, on: Callable[[str], None] = lambda _: None) -> None:
        self._root = root
        self._on = on
        (root / "chunks").mkdir(parents=True, exist_ok=True)
        (root / "manifests").mkdir(exist_ok=True)
        (root / "uploads").touch()

    @property
    def uploads(self) -> list[str]:
        """Every chunk that was ever uploaded, as often as it was."""
        return (self._root / "uploads").read_text().split()

    def ingest(
        self,
        disks: Sequence[DiskSource],
        *,
        parent: str | None,
        attributes: Mapping[str, str],
        on_progress: OnProgress | None,
    ) -> FakeIngestReport:
        self._on("ingest: begun")
        known = {disk.name: disk for disk in self.manifest(parent).disks} if parent else {}
        report = FakeIngestReport()
        kept = [self._ingest_disk(disk, known, report, on_progress) for disk in disks]
        self._on("ingest: stored")
        document = {"disks": [vars(disk) for disk in kept], "attributes": dict(attributes)}
        write_json(self._manifest_path(report.manifest_id), document)
        self._on("ingest: manifest")
        return report

    def manifest(self, manifest_id: str) -> FakeManifest:
        try:
            document = read_json(self._manifest_path(manifest_id))
        except FileNotFoundError as error:
            raise ManifestNotFound(manifest_id=manifest_id) from error
        disks = [FakeStoredDisk(**disk) for disk in document["disks"]]
        return FakeManifest(manifest_id, disks, document["attributes"])

    def list_manifests(self) -> list[FakeManifest]:
        return [self.manifest(path.stem) for path in sorted((self._root / "manifests").glob("*.json"))]

    def restore_disk(
        self, manifest_id: str, disk_name: str, target: DiskTarget, *, on_progress: OnProgress | None
    ) -> None:
        disk = next(disk for disk in self.manifest(manifest_id).disks if disk.name == disk_name)
        for index, chunk in disk.chunks.items():
            target.write(int(index) * BLOCK, (self._root / "chunks" / chunk).read_bytes())
            self._on("restore: chunk")
            if on_progress:
                done = int(index) * BLOCK
                on_progress(TransferProgress(done, disk.size_bytes, done, 0))
        target.flush()

    def delete_manifest(self, manifest_id: str) -> None:
        self._manifest_path(manifest_id).unlink(missing_ok=True)
        self._on("manifest: deleted")

    def prune(self, *, grace: timedelta) -> None:  # noqa: ARG002 - a fake has no writers to be patient with
        self._on("prune: begun")
        needed = {
            chunk
            for manifest in self.list_manifests()
            for disk in manifest.disks
            for chunk in disk.chunks.values()
        }
        for path in (self._root / "chunks").iterdir():
            if path.name not in needed:
                path.unlink()
        self._on("prune: done")

    def _manifest_path(self, manifest_id: str) -> Path:
        return self._root / "manifests" / f"{manifest_id}.json"

    def _ingest_disk(
        self,
        disk: DiskSource,
        known: Mapping[str, FakeStoredDisk],
        report: FakeIngestReport,
        on_progress: OnProgress | None,
    ) -> FakeStoredDisk:
        chunks = dict(known[disk.name].chunks) if disk.incremental and disk.name in known else {}
        for index, data in _looked_at(disk):
            if data is None:
                chunks.pop(str(index), None)
            else:
                chunks[str(index)] = self._put(data, report)
            if on_progress:
                done = (index + 1) * BLOCK
                on_progress(TransferProgress(done, disk.size_bytes, report.read_bytes, report.stored_bytes))
            self._on("ingest: chunk")
        return FakeStoredDisk(disk.name, disk.size_bytes, chunks)

    def _put(self, data: bytes, report: FakeIngestReport) -> str:
        report.read_bytes += len(data)
        chunk = hashlib.sha256(data).hexdigest()
        path = self._root / "chunks" / chunk
        if not path.exists():
            path.write_bytes(data)
            with (self._root / "uploads").open("a") as uploads:
                uploads.write(chunk + "\n")
            report.stored_bytes += len(data)
        return chunk


class FakeRepositories:
    """A folder with one repository per vault."""

    def __init__(self, root: Path, on: Callable[[str], None] = lambda _: None) -> None:
        self._root = root
        self._on = on
        self.revoked: set[str] = set()
        """Ids of vaults whose key vault does not let the key be used."""

    def open(self, vault: Vault) -> FakeRepository:
        self._on("repository: opened")
        return FakeRepository(self._root / vault.id, self._on)

    def check_key(self, vault: Vault) -> None:
        if vault.id in self.revoked:
            raise KeyRevoked


def _looked_at(disk: DiskSource) -> Iterator[tuple[int, bytes | None]]:
    """Yield block number and content, None for zeros."""
    for extent in disk.extents():
        for offset in range(extent.offset, extent.end, BLOCK):
            length = min(BLOCK, disk.size_bytes - offset)
            data = disk.read(offset, length) if extent.kind is ExtentKind.DATA else None
            yield offset // BLOCK, data if data and any(data) else None
