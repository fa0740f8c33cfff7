"""Capture: from a VM to a restore point, written down before and after, undone when it fails."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import libvirt
import structlog

from vmkeep.base.clock import Clock
from vmkeep.base.errors import VmkeepError
from vmkeep.fabric import guest_agent
from vmkeep.fabric.chain import paths
from vmkeep.fabric.errors import HypervisorUnreachable, VmNotInDesirableState, VmVanished
from vmkeep.fabric.fold import active_chain
from vmkeep.fabric.host import Domain, Host, translated
from vmkeep.fabric.inventory import machine_state
from vmkeep.fabric.ladder import Ladder, Reached
from vmkeep.fabric.layer_switch import LayerSwitch, intended_point, prepare_switch
from vmkeep.fabric.layer_use import refuse_unnamed_layers
from vmkeep.fabric.merge import Merger
from vmkeep.fabric.points import PointJournal, PointRecord, PointState, stamp
from vmkeep.fabric.wire.server import WireServer
from vmkeep.model.disk_key import NO_KEYS, DiskKeys
from vmkeep.model.disk_selection import DiskSelection
from vmkeep.model.machine import Consistency, MachineState
from vmkeep.model.restore_point import RestorePoint, Warned

log = structlog.get_logger()

LIBVIRT_RESTART_S = 20.0
"""How long a failed capture waits for libvirtd before it leaves its clean-up for later."""
_IN_WORDS = {MachineState.OTHER: "shutting down or suspended"}
_UNDER_WAY = {
    libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_IN: "being migrated to this host",
    libvirt.VIR_DOMAIN_JOB_OPERATION_MIGRATION_OUT: "being migrated away",
    libvirt.VIR_DOMAIN_JOB_OPERATION_SAVE: "being saved to disk",
    libvirt.VIR_DOMAIN_JOB_OPERATION_RESTORE: "being woken from disk",
}
"""Jobs of libvirt on a whole VM during which its disks must be left alone."""


@dataclass(frozen=True, slots=True)
class Capturer:
    """Makes restore points. The caller sees to it that one thread at a time works on a VM."""

    host: Host
    journal: PointJournal
    merger: Merger
    wire: WireServer | None
    clock: Clock
    freeze_limit_s: float

    def capture(
        self,
        vm_uuid: str,
        point_id: str,
        *,
        selection: DiskSelection | None,
        least: Consistency,
        on_phase: Callable[[str], None],
        cancelled: Callable[[], bool],
        keys: DiskKeys = NO_KEYS,
    ) -> RestorePoint:
        """Return the restore point `point_id`, made now unless an earlier attempt made it.

        A running VM that does not reach the rung `least` raises why the better ones were left; one that is off has
        nothing to freeze and reaches any.
        Whatever is raised, the guest runs, no new layer is left and no record. Raises VmNotInDesirableState,
        NoDiskToCapture, EncryptionMixed, DiskKeyMissing, DiskKeyWrong, HostStorageFull, LayerPathTaken, LayerInUse, WorkCancelled, ScriptFailed, DiskVanished, VmVanished,
        ImageUnreadable, HypervisorUnreachable, HypervisorRefused.
        """
        made_before = self.find(vm_uuid, point_id)
        if made_before is not None:
            return made_before
        self.discard(vm_uuid, point_id, keys)
        domain = self.host.get_domain(vm_uuid)
        refuse_unnamed_layers(self.host, domain, self.journal.read(vm_uuid).values(), self.clock)
        state = _capturable_state(domain)
        on_phase("planning layers")
        intent = PointRecord(intended_point(domain, point_id, self.clock.now(), selection), PointState.INTENT)
        switch = prepare_switch(domain, intent.point, self.clock, keys)
        self.journal.put(intent)
        try:
            switch.make_layers()
            ladder = Ladder(
                switch=switch,
                undo=lambda: self.merger.take_layers_out(intent, keys=keys),
                thaw=lambda: guest_agent.thaw(self.host.get_domain(vm_uuid)),
                wire=self.wire,
                clock=self.clock,
                freeze_limit_s=self.freeze_limit_s,
                on_phase=on_phase,
                cancelled=cancelled,
                least=least,
            )
            reached = ladder.climb() if state is MachineState.RUNNING else ladder.crash()
            return self._complete(intent, switch, reached)
        except BaseException:
            self.host.wait_until_reachable(self.clock, LIBVIRT_RESTART_S)  # or the layers would stay
            self.discard(vm_uuid, point_id, keys)
            raise

    def obstacles(self, vm_uuid: str, selection: DiskSelection | None) -> tuple[VmkeepError, ...]:
        """Return all that a capture would be refused for now, before it touched anything.

        Raises VmVanished, HypervisorUnreachable.
        """
        domain = self.host.get_domain(vm_uuid)
        looks: tuple[Callable[[], object], ...] = (
            lambda: _capturable_state(domain),
            lambda: intended_point(domain, "preflight", self.clock.now(), selection),
        )
        found = []
        for look in looks:
            try:
                look()
            except (HypervisorUnreachable, VmVanished):
                raise
            except VmkeepError as error:
                found.append(error)
        return tuple(found)

    def find(self, vm_uuid: str, point_id: str) -> RestorePoint | None:
        """Return a restore point that was made, even if the service died before it could say so.

        Raises VmVanished, DiskVanished, ImageUnreadable, HypervisorUnreachable, HypervisorRefused.
        """
        record = self.journal.find(vm_uuid, point_id)
        if record is None or record.state is PointState.DROPPING:
            return None
        if record.state is PointState.COMPLETE:
            return record.point
        domain = self.host.find_domain(vm_uuid)
        if domain is None:
            return None
        self._thaw_interrupted(domain)
        if not self._layers_are_in_use(domain, record.point):
            return None
        interrupted = Warned(
            "CaptureInterrupted",
            "the service stopped between switching layers and hearing that the guest was thawed; "
            "the point counts as crash-consistent",
        )
        return self._keep(replace(record.point, warnings=(interrupted,)))

    def discard(self, vm_uuid: str, point_id: str, keys: DiskKeys = NO_KEYS) -> None:
        """Undo a capture, complete or not; nothing happens when there is none."""
        record = self.journal.find(vm_uuid, point_id)
        if record is not None and record.state is PointState.INTENT:
            domain = self.host.find_domain(vm_uuid)
            if domain is not None:
                self._thaw_interrupted(domain)
        self.merger.drop(
            vm_uuid, point_id, on_bytes=lambda _done, _all: None, cancelled=lambda: False, keys=keys
        )

    def thaw_interrupted(self, vm_uuid: str) -> None:
        """Thaw a guest that a capture may have left frozen when the service died."""
        states = {record.state for record in self.journal.read(vm_uuid).values()}
        domain = self.host.find_domain(vm_uuid) if PointState.INTENT in states else None
        if domain is not None:
            self._thaw_interrupted(domain)

    def _thaw_interrupted(self, domain: Domain) -> None:
        try:
            count = guest_agent.thaw(domain)
        except VmkeepError as error:  # off, or without qemu-guest-agent: its extension thaws it within 60 s
            log.info("fabric.freeze.nothing_to_thaw", vm=domain.name(), why=str(error))
            return
        if count:
            log.warning("fabric.freeze.thawed_after_interruption", vm=domain.name(), file_systems=count)

    def _layers_are_in_use(self, domain: Domain, point: RestorePoint) -> bool:
        return all(disk.active_path in paths(active_chain(domain, disk.name)) for disk in point.disks)

    def _complete(self, intent: PointRecord, switch: LayerSwitch, reached: Reached) -> RestorePoint:
        point = self._keep(
            replace(
                intent.point,
                time=switch.taken_at or intent.point.time,
                consistency=reached.consistency or intent.point.consistency,
                frozen_s=reached.frozen_s,
                warnings=reached.warnings,
            )
        )
        log.info(
            "fabric.point.captured",
            vm=point.vm_name,
            point=point.id,
            consistency=point.consistency,
            frozen_s=point.frozen_s,
            warnings=[warned.code for warned in point.warnings],
        )
        return point

    def _keep(self, point: RestorePoint) -> RestorePoint:
        stamps = {path: stamp(path) for disk in point.disks for path in disk.chain}
        self.journal.put(PointRecord(point, PointState.COMPLETE, stamps))
        return point


def _capturable_state(domain: Domain) -> MachineState:
    """Return whether the VM is running or off. Raises VmNotInDesirableState."""
    state = machine_state(domain)
    moving = _under_way(domain) if state is not MachineState.OFF else ""
    if moving:
        raise VmNotInDesirableState(domain.name(), moving)
    if state not in {MachineState.RUNNING, MachineState.OFF}:
        raise VmNotInDesirableState(domain.name(), _IN_WORDS.get(state, state))
    with translated("tell the VM's state", vm_uuid=domain.UUIDString()):
        saved = state is MachineState.OFF and domain.hasManagedSaveImage()
    if saved:  # its memory would wake up on files that are frozen by then
        raise VmNotInDesirableState(domain.name(), "saved to disk (managed save)")
    return state


def _under_way(domain: Domain) -> str:
    """Return what libvirt is doing with the whole VM that forbids a capture, in words; empty when nothing."""
    try:
        job = domain.jobStats()
    except libvirt.libvirtError as error:  # stopped meanwhile: its state says so
        log.debug("fabric.job.unknown", vm=domain.name(), error=str(error))
        return ""
    return _UNDER_WAY.get(job.get("operation"), "")
