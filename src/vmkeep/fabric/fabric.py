"""The fabric's one door: everything vmkeep does to this host's VMs goes through `Fabric`."""

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path

import structlog

from vmkeep.base.clock import Clock
from vmkeep.base.errors import VmkeepError
from vmkeep.diagnosis.cause import Mend
from vmkeep.diagnosis.evidence import Evidence, Vantage
from vmkeep.fabric import guest_agent, restore
from vmkeep.fabric.capture import Capturer
from vmkeep.fabric.check import Checker
from vmkeep.fabric.collecting import collect_machine
from vmkeep.fabric.errors import RestorePointUnknown
from vmkeep.fabric.host import Host
from vmkeep.fabric.inventory import Inventory
from vmkeep.fabric.key_references import put_references
from vmkeep.fabric.live_files import LiveFiles
from vmkeep.fabric.merge import Merger, OnBytes, Readers
from vmkeep.fabric.network import Networks
from vmkeep.fabric.observe import Observer
from vmkeep.fabric.offline.errors import NothingToReadOffline
from vmkeep.fabric.offline.evidence import read_evidence
from vmkeep.fabric.offline.files import GuestFiles, OfflineFiles
from vmkeep.fabric.offline.opening import reading_machine, reading_point
from vmkeep.fabric.points import PointJournal, PointRecord, PointState
from vmkeep.fabric.position import GuestPositions
from vmkeep.fabric.sources import DiskSet, open_sources
from vmkeep.fabric.succession import Succession
from vmkeep.fabric.targets import format_by_name, new_disk
from vmkeep.fabric.wire.server import WireServer
from vmkeep.model.disk_io import DiskTarget
from vmkeep.model.disk_key import NO_KEYS, DiskKeys, KeyReference
from vmkeep.model.disk_selection import DiskSelection
from vmkeep.model.machine import Consistency, DiskFormat, MachineState, VirtualMachine
from vmkeep.model.network import Network
from vmkeep.model.restore_point import RestorePoint, Warned

log = structlog.get_logger()

OFFLINE_FRESH = timedelta(minutes=10)
"""How old a restore point may be whose files still tell what is wrong with the guest now."""


class Fabric:
    """This host's VMs. Every method may be called from any thread; work on one VM is done one after another."""

    def __init__(
        self,
        *,
        uri: str = "qemu:///system",
        state_dir: Path,
        clock: Clock,
        wire: WireServer | None,
        freeze_limit_s: float = 10.0,
        merge_mib_s: int = 0,
    ) -> None:
        self._host = Host(uri)
        self._wire = wire
        self._clock = clock
        self._positions = GuestPositions(self._host, clock)
        self._networks = Networks(self._host)
        self._journal = PointJournal(state_dir / "fabric" / "points")
        self._readers = Readers()
        self._succession = Succession(self._host, self._journal)
        self._inventory = Inventory(self._host, wire)
        self._observer = Observer(self._host, self._networks, wire, clock)
        self._merger = Merger(self._host, self._journal, self._readers, clock, merge_mib_s)
        self._capturer = Capturer(self._host, self._journal, self._merger, wire, clock, freeze_limit_s)
        self._turns: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)

    # looking

    def list_machines(self) -> list[VirtualMachine]:
        """Return all VMs of this host, by name. Raises HypervisorUnreachable."""
        return self._inventory.list_machines(self._host.list_domains())

    def get_machine(self, name_or_uuid: str) -> VirtualMachine:
        """Return one VM. Raises VmNotFound, HypervisorUnreachable."""
        return self._inventory.get_machine(self._host.resolve(name_or_uuid))

    def set_disk_keys(self, vm_uuid: str, references: Mapping[str, KeyReference]) -> None:
        """Note in a VM's definition where the keys of some encrypted disks are kept.

        Raises DiskNotEncrypted, VmVanished, HypervisorRefused, HypervisorUnreachable.
        """
        with self._turns[vm_uuid]:
            put_references(self._host.get_domain(vm_uuid), references)

    def check(self) -> list[Warned]:
        """Return where journal and host disagree; changes nothing. Raises HypervisorUnreachable."""
        return Checker(self._host, self._journal).check()

    # diagnosis

    def observe(self, vm_uuid: str) -> tuple[Evidence, ...]:
        """Return dated evidence from host and guest, or of the guest's files when it does not answer; changes nothing.

        Raises VmVanished, HypervisorUnreachable.
        """
        seen = self._observer.observe(vm_uuid)
        if any(one.vantage is Vantage.GUEST for one in seen):
            return seen
        return (*seen, *self._observe_offline(vm_uuid))

    def _observe_offline(self, vm_uuid: str) -> tuple[Evidence, ...]:
        """Return what the guest's files say; nothing from a layer too old to tell of now, or that cannot be read."""
        try:
            with self.open_offline(vm_uuid) as files:
                fresh = self._clock.now() - files.moment < OFFLINE_FRESH
                return tuple(read_evidence(files)) if fresh else ()
        except VmkeepError as error:
            log.info("fabric.guest.not_read", vm=vm_uuid, code=error.code, why=str(error))
            return ()

    def mend(self, vm_uuid: str, mend: Mend) -> None:
        """Carry a remedy out in the guest. Raises GuestAgentSilent, GuestAgentRefused, VmVanished."""
        self._observer.mend(vm_uuid, mend)

    # networks

    @property
    def locator(self) -> GuestPositions:
        """Tells which VM sits at a network position.

        A wire server must have its locator before there is a `Fabric`: give it `GuestPositions(Host(uri), clock)`.
        """
        return self._positions

    def list_networks(self) -> list[Network]:
        """Return all libvirt networks of this host, by name. Raises HypervisorUnreachable."""
        return self._networks.list_networks()

    def attach_network(self, name: str) -> tuple[str, ...]:
        """Make guests of a libvirt network find the wire server, without cutting them off. Idempotent.

        Returns what was changed, one sentence each.

        Raises NetworkNotFound, NetworkUnfit, ListenFailed, HypervisorRefused, HypervisorUnreachable.
        """
        report = self._networks.attach(name)
        self._listen([report.bridge])
        return report.changes

    def detach_network(self, name: str) -> None:
        """Take back what `attach_network` did. Idempotent. Raises NetworkNotFound, HypervisorRefused."""
        self._networks.detach(name)

    def ensure_network(self, name: str = "vmkeep") -> None:
        """Make an isolated network of our own, 10.77.0.0/24 unless that is taken, and attach it. Idempotent."""
        self._listen([self._networks.ensure(name)])

    def serve_networks(self) -> list[str]:
        """Serve the wire on all attached networks that run, and return their bridges; their new VMs are filtered.

        To be called when the service starts, and from time to time: networks are stopped and started, VMs come.
        """
        bridges = self._networks.attached_bridges()
        if bridges:
            self._networks.put_addresses()
        self._listen(bridges)
        self._networks.tend_filters()
        return bridges

    def _listen(self, bridges: Sequence[str]) -> None:
        if self._wire is not None:
            for bridge in bridges:
                self._wire.listen(bridge)

    # restore points

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
        """Capture the selected disks of a VM at one instant; `Capturer.capture` says what it promises and raises."""
        with self._turns[vm_uuid]:
            return self._capturer.capture(
                vm_uuid,
                point_id,
                selection=selection,
                keys=keys,
                least=least,
                on_phase=on_phase,
                cancelled=cancelled,
            )

    def capture_obstacles(
        self, vm_uuid: str, *, selection: DiskSelection | None = None
    ) -> tuple[VmkeepError, ...]:
        """Return all that a capture would be refused for now; changes nothing, waits for nothing.

        Raises VmVanished, HypervisorUnreachable.
        """
        return self._capturer.obstacles(vm_uuid, selection)

    def find_point(self, vm_uuid: str, point_id: str) -> RestorePoint | None:
        """Return a restore point as it is now, or None; also right after the service was killed in a capture."""
        with self._turns[vm_uuid]:
            return self._capturer.find(vm_uuid, point_id)

    def list_points(self, vm_uuid: str | None = None) -> list[RestorePoint]:
        """Return the restore points of one VM or all, oldest first per VM, those that are unfinished too.

        Raises JournalUnreadable.
        """
        vms = self._journal.list_vms() if vm_uuid is None else [vm_uuid]
        return [record.point for vm in vms for record in self._journal.read(vm).values()]

    def find_successor(self, vm_uuid: str, point_ids: Collection[str]) -> str | None:
        """Return the UUID of the VM that was defined on the disks of one that is gone; None unless it is certain.

        `point_ids` are the restore points that the VM had. Raises HypervisorUnreachable, JournalUnreadable.
        """
        return self._succession.find_successor(vm_uuid, point_ids)

    def take_over_points(self, vm_uuid: str, successor: str) -> None:
        """Give the restore points of a VM to its successor. Idempotent. Raises JournalUnreadable."""
        with self._turns[vm_uuid]:
            self._succession.take_over(vm_uuid, successor)

    def discard_capture(self, vm_uuid: str, point_id: str, *, keys: DiskKeys = NO_KEYS) -> None:
        """Undo a capture that is not wanted: its layers are merged, its record removed. Idempotent."""
        with self._turns[vm_uuid]:
            self._capturer.discard(vm_uuid, point_id, keys)

    def sources(
        self, point: RestorePoint, *, since: RestorePoint | None, keys: DiskKeys = NO_KEYS
    ) -> DiskSet:
        """Open the disks of a restore point for reading, in plaintext; use it in a `with` block.

        Raises RestorePointUnknown, FrozenLayerWritten, DiskVanished, DiskKeyMissing, DiskKeyWrong, ImageUnreadable.
        """
        record = self._get_record(point)
        before = self._journal.find(since.vm_uuid, since.id) if since else None
        held = ExitStack()
        held.enter_context(self._readers.reading(point.id))
        folding = self._journal.folding(point.vm_uuid)
        disks = open_sources(record, before, held, folding=folding, keys=keys)
        if since is not None and before is None:
            why = f"restore point {since.id} is no longer on this host, so whole disks are read"
            disks.healed = (Warned("WholeDiskRead", why), *disks.healed)
        return disks

    def merge(
        self,
        point: RestorePoint,
        *,
        on_progress: OnBytes,
        cancelled: Callable[[], bool],
        keys: DiskKeys = NO_KEYS,
    ) -> None:
        """Let a restore point go; newer points and the VM stay right. Idempotent, in any order.

        `keys` are needed for encrypted disks of a VM that is off. Raises RestorePointInUse, DiskBusy, MergeIncomplete,
        WorkCancelled, DiskVanished, DiskKeyMissing, DiskKeyWrong, ImageUnreadable, HypervisorUnreachable,
        HypervisorRefused.
        """
        with self._turns[point.vm_uuid]:
            self._merger.drop(point.vm_uuid, point.id, on_bytes=on_progress, cancelled=cancelled, keys=keys)

    def open_offline(
        self, vm_uuid: str, *, point_id: str | None = None
    ) -> AbstractContextManager[OfflineFiles]:
        """Read a guest's files from outside: of a restore point, else of a VM that is off, else of the newest point.

        Raises RestorePointUnknown, NothingToReadOffline, VmNotFound, DiskVanished, ImageUnreadable, FrozenLayerWritten.
        """
        if point_id is None:
            vm = self.get_machine(vm_uuid)
            if vm.state is MachineState.OFF:
                return reading_machine(vm, self._clock)
            complete = [
                one for one in self._journal.read(vm_uuid).values() if one.state is PointState.COMPLETE
            ]
            if not complete:
                raise NothingToReadOffline(vm.name)
            point = complete[-1].point
        else:
            record = self._journal.find(vm_uuid, point_id)
            if record is None:
                raise RestorePointUnknown(vm_uuid, point_id)
            point = record.point
        return reading_point(point, self.sources(point, since=None), self._clock)

    def collect(self, vm_uuid: str) -> bytes:
        """Return our side's logs and what the agent left in a guest as a tar.gz; `collect_machine` says more.

        The guest is asked while it answers; else its files are read from outside. Raises VmNotFound.
        """
        vm = self.get_machine(vm_uuid)
        live = vm.state is MachineState.RUNNING and vm.guest_agent
        ways = [lambda: self._reading_live(vm_uuid)] if live else []
        points = [record.point for record in self._journal.read(vm_uuid).values()]
        return collect_machine(vm, points, [*ways, lambda: self.open_offline(vm_uuid)], now=self._clock.now())

    @contextmanager
    def _reading_live(self, vm_uuid: str) -> Iterator[GuestFiles]:
        """Read a running guest's files through qemu-guest-agent; it is not frozen meanwhile."""
        with self._turns[vm_uuid]:
            yield LiveFiles(self._host.get_domain(vm_uuid), self._clock)

    def thaw(self, vm_uuid: str) -> int:
        """Thaw a guest's file systems, whoever froze them, and return how many were frozen.

        Raises GuestAgentSilent, GuestAgentRefused, VmVanished, HypervisorUnreachable.
        """
        return guest_agent.thaw(self._host.get_domain(vm_uuid))

    def thaw_interrupted(self) -> None:
        """Thaw whatever guests a killed service left frozen; call it when the service starts.

        Raises HypervisorUnreachable.
        """
        for vm_uuid in self._journal.list_vms():
            turn = self._turns[vm_uuid]
            if turn.acquire(blocking=False):  # who works on a VM now sees to its thaw himself
                try:
                    self._capturer.thaw_interrupted(vm_uuid)
                finally:
                    turn.release()

    # restoring

    def create_disk(
        self,
        path: Path,
        *,
        size_bytes: int,
        format: DiskFormat,  # noqa: A002 - the word users know
        key: str | None = None,
    ) -> AbstractContextManager[DiskTarget]:
        """Create a sparse disk, written within the `with` block; removed again when the block fails.

        With a key the file holds no plaintext. Raises DiskFileTaken, TargetFull, DiskIoFailed, ImageUnreadable.
        """
        return new_disk(path, size_bytes=size_bytes, image_format=format, key=key)

    def create_machine(
        self,
        source_xml: str,
        *,
        name: str,
        disk_paths: Mapping[str, Path],
        network: str | None = None,
        keys: DiskKeys = NO_KEYS,
    ) -> str:
        """Define a new VM on disks that `create_disk` made and return its UUID; it is not started.

        libvirt is given the keys of the encrypted ones, so the VM starts on a host that has never seen them.

        Raises NameTaken, MachineDefinitionUnusable, HypervisorRefused, HypervisorUnreachable.
        """
        images = {target: (path, format_by_name(path)) for target, path in disk_paths.items()}
        return restore.create_machine(
            self._host, source_xml, name=name, disk_images=images, network=network, keys=keys
        )

    def delete_machine(self, uuid: str) -> None:
        """Delete a VM that a restore made, with its disks; for cleaning up. Idempotent. Raises NotRestoredByUs."""
        restore.delete_machine(self._host, uuid)

    def _get_record(self, point: RestorePoint) -> PointRecord:
        record = self._journal.find(point.vm_uuid, point.id)
        if record is None or record.state is not PointState.COMPLETE:
            raise RestorePointUnknown(point.vm_uuid, point.id)
        return record
