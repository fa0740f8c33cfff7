"""A host whose VMs are JSON files: disks made of layers, a guest that can stay frozen."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import RLock
from typing import Any

from tests.fakes.files import read_json, write_json
from vmkeep.base.clock import Clock
from vmkeep.base.errors import Retry, VmkeepError
from vmkeep.base.ids import new_guid
from vmkeep.diagnosis.cause import Mend
from vmkeep.diagnosis.evidence import Evidence
from vmkeep.model.disk_io import DiskSource, DiskTarget, Extent, ExtentKind
from vmkeep.model.disk_key import NO_KEYS, DiskKeys, KeyReference
from vmkeep.model.disk_selection import DiskSelection, is_selected
from vmkeep.model.machine import Consistency, Disk, DiskFormat, MachineState, Nic, VirtualMachine
from vmkeep.model.network import Network
from vmkeep.model.restore_point import CapturedDisk, PointDisk, RestorePoint, Warned

BLOCK = 4096
_ZEROS = bytes(BLOCK)
Document = dict[str, Any]  # JSON values


@dataclass(eq=False)
class VmNotFound(VmkeepError):
    text = "no VM '{e.name}' on this host"
    retry = Retry.AFTER_CHANGE
    name: str


@dataclass(eq=False)
class WorkCancelled(VmkeepError):
    text = "{e.work} was cancelled"
    work: str


@dataclass(eq=False)
class DiskFileTaken(VmkeepError):
    text = "cannot create the disk {e.path}: the file exists"
    retry = Retry.AFTER_CHANGE
    path: str


@dataclass(eq=False)
class DiskKeyMissing(VmkeepError):
    text = "the disk {e.disk} is encrypted, and its key was not given"
    retry = Retry.LATER
    disk: str


@dataclass(eq=False)
class DiskKeyWrong(VmkeepError):
    text = "the key of {e.disk} does not open it"
    retry = Retry.AFTER_CHANGE
    disk: str


@dataclass
class FakeDiskSource:
    name: str
    size_bytes: int
    incremental: bool
    blocks: Mapping[int, bytes]
    looked_at: frozenset[int]

    def extents(self) -> Iterator[Extent]:
        for index in sorted(self.looked_at):
            data = self.blocks.get(index, _ZEROS) != _ZEROS
            length = min(BLOCK, self.size_bytes - index * BLOCK)
            yield Extent(index * BLOCK, length, ExtentKind.DATA if data else ExtentKind.ZERO)

    def read(self, offset: int, length: int) -> bytes:
        first, last = offset // BLOCK, (offset + length - 1) // BLOCK
        run = b"".join(self.blocks.get(index, _ZEROS) for index in range(first, last + 1))
        return run[offset - first * BLOCK :][:length]


@dataclass
class FakeDiskSet:
    disks: Sequence[DiskSource]
    healed: Sequence[Warned]


class FakeDiskTarget:
    def __init__(self, path: Path, size_bytes: int) -> None:
        self.size_bytes = size_bytes
        self._path = path

    def write(self, offset: int, data: bytes | memoryview) -> None:
        assert offset + len(data) <= self.size_bytes
        with self._path.open("r+b") as file:
            file.seek(offset)
            file.write(data)

    def flush(self) -> None:
        """Files are as stable as this fake needs them."""


class FakeFabric:
    """Layers of a disk are maps from block number to content; the last one takes the guest's writes."""

    def __init__(self, root: Path, clock: Clock, on: Callable[[str], None] = lambda _: None) -> None:
        self._root = root
        self._clock = clock
        self._on = on
        self._lock = RLock()
        self.warnings: tuple[Warned, ...] = ()
        """What the next captures warn of."""
        self.obstacles: tuple[VmkeepError, ...] = ()
        """What captures would be refused for."""
        self.written_keys: dict[str, str] = {}
        """File name of an encrypted disk that was created → its key."""
        self.why_not_better: VmkeepError | None = None
        """Why the next captures reach only crash consistency."""

        self.evidence: tuple[Evidence, ...] = ()
        """What a look at any VM sees."""
        self.mended: list[Mend] = []

    # What the test does to the host

    def add_machine(self, name: str, sizes: Mapping[str, int]) -> str:
        uuid = new_guid()
        disks = {disk: {"size": size, "path": f"/images/{name}-{disk}"} for disk, size in sizes.items()}
        self._put_machine(uuid, name, disks)
        return uuid

    def encrypt(self, uuid: str, disk: str, passphrase: str, reference: KeyReference | None = None) -> None:
        """Give a disk a key, or another one, and say where it is kept."""
        with self._changing(uuid) as machine:
            about = machine["disks"][disk]
            about["passphrase"] = passphrase
            about["layers"][-1]["passphrase"] = passphrase
            if reference is not None:
                about["reference"] = [reference.key_vault, reference.secret]

    def passphrases(self, uuid: str) -> dict[str, str]:
        """Return the keys the host knows of a VM's encrypted disks."""
        disks = self._machine(uuid)["disks"]
        return {name: disk["passphrase"] for name, disk in disks.items() if "passphrase" in disk}

    def guest_writes(self, uuid: str, disk: str, offset: int, data: bytes) -> None:
        assert offset % BLOCK == 0
        with self._changing(uuid) as machine:
            layer = machine["disks"][disk]["layers"][-1]["blocks"]
            for at in range(0, len(data), BLOCK):
                layer[str((offset + at) // BLOCK)] = data[at : at + BLOCK].ljust(BLOCK, b"\0").hex()

    def lose_layers(self, uuid: str, point_id: str) -> None:
        """Forget a restore point behind everybody's back, as a moved VM does."""
        self._fold(uuid, point_id)

    def redefine(self, uuid: str, name: str) -> str:
        """Define a VM anew on its disks, as `virsh undefine`, `virsh define` do; returns its new UUID."""
        new = new_guid()
        write_json(self._machine_path(new), {**self._machine(uuid), "name": name, "was": uuid})
        self._machine_path(uuid).unlink()
        return new

    def rename(self, uuid: str, name: str) -> None:
        with self._changing(uuid) as machine:
            machine["name"] = name

    # What the test looks at

    def is_frozen(self, uuid: str) -> bool:
        return bool(self._machine(uuid)["frozen"])

    def layers(self, uuid: str, disk: str = "vda") -> list[str | None]:
        """Return the restore points of a disk's layers, oldest first; None for the active one."""
        return [layer["point"] for layer in self._machine(uuid)["disks"][disk]["layers"]]

    def disk_content(self, uuid: str, disk: str) -> bytes:
        return _content(self._machine(uuid)["disks"][disk], None)

    # The port

    def list_machines(self) -> list[VirtualMachine]:
        return [self.get_machine(path.stem) for path in sorted((self._root / "machines").glob("*.json"))]

    def get_machine(self, name_or_uuid: str) -> VirtualMachine:
        for path in (self._root / "machines").glob("*.json"):
            machine = read_json(path)
            if name_or_uuid in {machine["name"], path.stem}:
                return _virtual_machine(path.stem, machine)
        raise VmNotFound(name=name_or_uuid)

    def list_networks(self) -> list[Network]:
        return [Network("vmkeep", "vmkeep0", "10.77.0.0/24", active=True, attached=True)]

    def observe(self, vm_uuid: str) -> tuple[Evidence, ...]:
        self.get_machine(vm_uuid)
        return self.evidence

    def mend(self, vm_uuid: str, mend: Mend) -> None:
        self.get_machine(vm_uuid)
        self.mended.append(mend)

    def capture_obstacles(
        self,
        vm_uuid: str,
        *,
        selection: DiskSelection | None = None,  # noqa: ARG002 - this fake's obstacles are those of any disk
    ) -> tuple[VmkeepError, ...]:
        self._machine(vm_uuid)
        return self.obstacles

    def capture(
        self,
        vm_uuid: str,
        *,
        point_id: str,
        on_phase: Callable[[str], None],
        cancelled: Callable[[], bool],
        selection: DiskSelection | None = None,
        keys: DiskKeys = NO_KEYS,
        least: Consistency = Consistency.CRASH,
    ) -> RestorePoint:
        for lun, (name, disk) in enumerate(self._machine(vm_uuid)["disks"].items(), start=-1):
            if is_selected(selection, name, lun):
                _check_key(name, disk.get("passphrase"), keys)
        if self.why_not_better is not None and least is not Consistency.CRASH:
            raise self.why_not_better
        if cancelled():
            raise WorkCancelled(work="capture")
        try:
            on_phase("freezing the guest")
            self._set_frozen(vm_uuid, frozen=True)
            self._on("capture: frozen")
            self._add_layers(vm_uuid, point_id, selection)
            self._on("capture: layered")
        except Exception:
            self.discard_capture(vm_uuid, point_id)
            raise
        finally:
            self._set_frozen(vm_uuid, frozen=False)
        self._on("capture: thawed")
        if cancelled():
            self.discard_capture(vm_uuid, point_id)
            raise WorkCancelled(work="capture")
        point = _restore_point(vm_uuid, self._machine(vm_uuid), point_id, self._clock)
        point = replace(point, warnings=self.warnings)
        if self.why_not_better is not None:
            why = Warned.of(self.why_not_better)
            point = replace(point, consistency=Consistency.CRASH, frozen_s=None, warnings=(why,))
        write_json(self._point_path(point_id), point.to_json())
        self._on("capture: complete")
        return point

    def find_point(self, vm_uuid: str, point_id: str) -> RestorePoint | None:
        if not self._machine_path(vm_uuid).exists():
            return None
        if not any(_has(disk, point_id) for disk in self._machine(vm_uuid)["disks"].values()):
            return None
        if self._point_path(point_id).exists():
            return RestorePoint.from_json(read_json(self._point_path(point_id)))
        point = _restore_point(vm_uuid, self._machine(vm_uuid), point_id, self._clock)
        cut_short = Warned("CaptureCutShort", "the capture was cut short after its layers were made")
        return replace(point, consistency=Consistency.CRASH, frozen_s=None, warnings=(cut_short,))

    def list_points(self, vm_uuid: str | None = None) -> list[RestorePoint]:
        uuids = [path.stem for path in sorted((self._root / "machines").glob("*.json"))]
        return [
            _restore_point(uuid, self._machine(uuid), point_id, self._clock)
            for uuid in uuids
            if vm_uuid in {None, uuid}
            for point_id in self.layers(uuid, next(iter(self._machine(uuid)["disks"])))
            if point_id is not None
        ]

    def find_successor(self, vm_uuid: str, point_ids: Collection[str]) -> str | None:  # noqa: ARG002 - the VM itself tells
        for path in (self._root / "machines").glob("*.json"):
            if read_json(path).get("was") == vm_uuid:
                return path.stem
        return None

    def take_over_points(self, vm_uuid: str, successor: str) -> None:
        assert vm_uuid == self._machine(successor)["was"], "the layers come with the disks"

    def check(self) -> list[Warned]:
        return []

    def discard_capture(self, vm_uuid: str, point_id: str, *, keys: DiskKeys = NO_KEYS) -> None:  # noqa: ARG002 - its VMs run
        self._on("discard: begun")
        if self._machine_path(vm_uuid).exists():
            self._fold(vm_uuid, point_id)
        self._point_path(point_id).unlink(missing_ok=True)

    def thaw(self, vm_uuid: str) -> int:
        was_frozen = self.is_frozen(vm_uuid)
        self._set_frozen(vm_uuid, frozen=False)
        return int(was_frozen)

    @contextmanager
    def sources(
        self, point: RestorePoint, *, since: RestorePoint | None, keys: DiskKeys = NO_KEYS
    ) -> Iterator[FakeDiskSet]:
        disks: list[DiskSource] = []
        healed = []
        captured = {disk.name for disk in point.disks}
        for name, disk in self._machine(point.vm_uuid)["disks"].items():
            if name not in captured:
                continue
            points = [layer["point"] for layer in disk["layers"]]
            until = points.index(point.id) + 1
            _check_key(name, disk["layers"][until - 1].get("passphrase"), keys)
            incremental = since is not None and since.id in points
            if since is not None and not incremental:
                healed.append(Warned("ChainHealed", f"disk {name} is read whole"))
            first = points.index(since.id) + 1 if since is not None and incremental else 0
            looked_at = {int(index) for layer in disk["layers"][first:until] for index in layer["blocks"]}
            blocks = _blocks(disk["layers"][:until])
            disks.append(FakeDiskSource(name, disk["size"], incremental, blocks, frozenset(looked_at)))
        self._on("sources: open")
        yield FakeDiskSet(disks, healed)

    def merge(
        self,
        point: RestorePoint,
        *,
        on_progress: Callable[[int, int], None],
        cancelled: Callable[[], bool],
        keys: DiskKeys = NO_KEYS,  # noqa: ARG002 - its VMs run
    ) -> None:
        self._on("merge: begun")
        machine = self._machine(point.vm_uuid)
        if cancelled():
            raise WorkCancelled(work="merge")
        size = sum(disk["size"] for disk in machine["disks"].values())
        on_progress(size, size)
        self.discard_capture(point.vm_uuid, point.id)
        self._on("merge: done")

    @contextmanager
    def create_disk(
        self,
        path: Path,
        *,
        size_bytes: int,
        format: DiskFormat,  # noqa: A002, ARG002 - the port's word; what a fake writes has no format
        key: str | None = None,
    ) -> Iterator[DiskTarget]:
        if key is not None:
            self.written_keys[path.name] = key
        try:
            path.touch(exist_ok=False)
        except FileExistsError as error:
            raise DiskFileTaken(path=str(path)) from error
        try:
            with path.open("r+b") as file:
                file.truncate(size_bytes)
            self._on("disk: created")
            yield FakeDiskTarget(path, size_bytes)
        except BaseException:
            path.unlink()
            raise
        self._on("disk: written")

    def create_machine(
        self,
        source_xml: str,  # noqa: ARG002 - the fake's definitions say nothing
        *,
        name: str,
        disk_paths: Mapping[str, Path],
        network: str | None,  # noqa: ARG002 - nor do they have networks
        keys: DiskKeys = NO_KEYS,
    ) -> str:
        uuid = new_guid()
        disks: dict[str, Document] = {
            disk: {"size": path.stat().st_size, "path": str(path)} for disk, path in disk_paths.items()
        }
        for disk, passphrase in keys.items():
            disks[disk]["passphrase"] = passphrase
        self._on("machine: begun")
        self._put_machine(uuid, name, disks)
        self._on("machine: created")
        return uuid

    def delete_machine(self, uuid: str) -> None:
        if self._machine_path(uuid).exists():
            for disk in self._machine(uuid)["disks"].values():
                Path(disk["path"]).unlink(missing_ok=True)
            self._machine_path(uuid).unlink()

    # Inside

    def _machine_path(self, uuid: str) -> Path:
        return self._root / "machines" / f"{uuid}.json"

    def _point_path(self, point_id: str) -> Path:
        return self._root / "points" / f"{point_id}.json"

    def _put_machine(self, uuid: str, name: str, disks: Mapping[str, Document]) -> None:
        layered = {
            disk: {**about, "layers": [{"point": None, "blocks": {}}]} for disk, about in disks.items()
        }
        write_json(self._machine_path(uuid), {"name": name, "frozen": False, "disks": layered})

    def _machine(self, uuid: str) -> Document:
        try:
            machine: Document = read_json(self._machine_path(uuid))
        except FileNotFoundError as error:
            raise VmNotFound(name=uuid) from error
        return machine

    @contextmanager
    def _changing(self, uuid: str) -> Iterator[Document]:
        with self._lock:
            machine = self._machine(uuid)
            yield machine
            write_json(self._machine_path(uuid), machine)

    def _set_frozen(self, uuid: str, *, frozen: bool) -> None:
        with self._changing(uuid) as machine:
            machine["frozen"] = frozen

    def _add_layers(self, uuid: str, point_id: str, selection: DiskSelection | None) -> None:
        with self._changing(uuid) as machine:
            for lun, (name, disk) in enumerate(machine["disks"].items(), start=-1):
                if not is_selected(selection, name, lun):
                    continue
                disk["layers"][-1]["point"] = point_id
                kept = {"passphrase": disk["passphrase"]} if "passphrase" in disk else {}
                disk["layers"].append({"point": None, "blocks": {}, **kept})

    def _fold(self, uuid: str, point_id: str) -> None:
        with self._changing(uuid) as machine:
            for disk in machine["disks"].values():
                at = (
                    [layer["point"] for layer in disk["layers"]].index(point_id)
                    if _has(disk, point_id)
                    else -1
                )
                if at >= 0:
                    gone = disk["layers"].pop(at)
                    newer = disk["layers"][at]
                    newer["blocks"] = {**gone["blocks"], **newer["blocks"]}


def _check_key(name: str, passphrase: str | None, keys: DiskKeys) -> None:
    if passphrase is not None and name not in keys:
        raise DiskKeyMissing(disk=name)
    if passphrase is not None and keys[name] != passphrase:
        raise DiskKeyWrong(disk=name)


def _has(disk: Document, point_id: str) -> bool:
    return any(layer["point"] == point_id for layer in disk["layers"])


def _blocks(layers: Sequence[Document]) -> dict[int, bytes]:
    return {int(index): bytes.fromhex(data) for layer in layers for index, data in layer["blocks"].items()}


def _content(disk: Document, until: int | None) -> bytes:
    content = bytearray(disk["size"])
    for index, data in _blocks(disk["layers"][:until]).items():
        content[index * BLOCK : index * BLOCK + BLOCK] = data
    return bytes(content[: disk["size"]])


def _virtual_machine(uuid: str, machine: Document) -> VirtualMachine:
    disks = tuple(
        Disk(
            name=name,
            lun=lun,
            path=disk["path"],
            format=DiskFormat.QCOW2,
            size_bytes=disk["size"],
            encrypted="passphrase" in disk,
            key=KeyReference(*disk["reference"]) if "reference" in disk else None,
        )
        for lun, (name, disk) in enumerate(machine["disks"].items(), start=-1)
    )
    return VirtualMachine(
        uuid=uuid,
        name=machine["name"],
        state=MachineState.RUNNING,
        disks=disks,
        guest_agent=True,
        nics=(Nic("52:54:00:00:00:01", "vmkeep"),),
    )


def _restore_point(uuid: str, machine: Document, point_id: str, clock: Clock) -> RestorePoint:
    disks = tuple(
        CapturedDisk(
            name=name,
            lun=lun,
            path=f"{disk['path']}.{point_id}",
            format=DiskFormat.QCOW2,
            size_bytes=disk["size"],
            active_path=disk["path"],
            chain=(disk["path"],),
        )
        for lun, (name, disk) in enumerate(machine["disks"].items(), start=-1)
        if _has(disk, point_id)
    )
    left_out = tuple(
        PointDisk(name, lun, disk["size"], included=False)
        for lun, (name, disk) in enumerate(machine["disks"].items(), start=-1)
        if not _has(disk, point_id)
    )
    return RestorePoint(
        id=point_id,
        vm_uuid=uuid,
        vm_name=machine["name"],
        time=clock.now(),
        consistency=Consistency.FILE_SYSTEM,
        disks=disks,
        machine_xml=f"<domain><name>{machine['name']}</name></domain>",
        frozen_s=0.25,
        left_out=left_out,
    )
