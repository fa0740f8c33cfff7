"""Will tonight's backup work? Looks at all that a backup would meet, and changes nothing."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from vmkeep.base.errors import VmkeepError
from vmkeep.base.units import format_size
from vmkeep.catalog.errors import OperationInProgress
from vmkeep.model.machine import AgentState, Consistency, MachineState, VirtualMachine
from vmkeep.model.outlook import Outlook, OutlookLine, Weight
from vmkeep.model.protection import ProtectedItem
from vmkeep.workflows import preflight
from vmkeep.workflows.errors import VmNotProtected, name_locks
from vmkeep.workflows.pillars import Pillars

_AGENT_SILENT = "UserErrorGuestAgentStatusUnavailable"
_GOOD, _WARNING = Weight.GOOD, Weight.WARNING


@dataclass(frozen=True, slots=True)
class Look:
    """A VM about to be looked at; `facts` tell of it as if it were protected when `item` is None."""

    pillars: Pillars
    machine: VirtualMachine
    item: ProtectedItem | None
    facts: preflight.Facts


def look(pillars: Pillars, vm_uuid: str) -> Outlook:
    """Return the outlook of a VM, protected or not; raises VmNotFound and what keeps the host from being asked."""
    machine = pillars.fabric.get_machine(vm_uuid)
    item = pillars.catalog.find_item_for_vm(machine.uuid)
    facts = preflight.gather(pillars, item or preflight.as_if_protected(machine, pillars.clock.now()))
    subject = Look(pillars, machine, item, facts)
    lines = [line for view in _VIEWS for line in view(subject)]
    return Outlook(vm_name=machine.name, vault_id=item.vault_id if item else "", lines=tuple(lines))


def _protection(subject: Look) -> Iterator[OutlookLine]:
    item = subject.item
    if item is None:
        yield OutlookLine.of("Protection", VmNotProtected(vm=subject.machine.name))
        return
    vault = subject.pillars.catalog.get_vault_by_id(item.vault_id).name
    good = f"in vault '{vault}' under policy '{item.policy_name}'"
    yield from _judged("Protection", subject, (preflight.protection_is_active,), good)


def _disks(subject: Look) -> Iterator[OutlookLine]:
    machine, disks = subject.machine, subject.facts.disks
    size = format_size(sum(disk.size_bytes for disk in disks))
    good = f"{', '.join(disk.name for disk in disks) or 'none'}: {size}"
    yield from _judged("Disks", subject, _DISK_RULES, good)
    left_out = ", ".join(disk.name for disk in machine.disks if disk not in disks)
    if left_out:
        yield OutlookLine("Disks", _GOOD, f"left out as you said: {left_out}")
    if machine.excluded_disks:
        yield OutlookLine("Disks", _GOOD, f"cannot be captured: {', '.join(machine.excluded_disks)}")


def _encryption(subject: Look) -> Iterator[OutlookLine]:
    """Yield whether the keys of encrypted disks can be had; nothing about other VMs."""
    keys = {disk.name: disk.key for disk in subject.facts.disks if disk.encrypted}
    if not keys:
        return
    found = [f"{disk} by '{key.secret}' in key vault '{key.key_vault}'" for disk, key in keys.items() if key]
    yield from _judged("Encryption", subject, _KEY_RULES, ", ".join(found))


def _restore_points(subject: Look) -> Iterator[OutlookLine]:
    good = f"{subject.facts.restore_points} of {subject.facts.limits.instant_points} are on this host"
    yield from _judged("Restore points", subject, (preflight.restore_points_are_not_too_many,), good)
    if subject.facts.locks:
        what = "a lock keeps restore points from being cleaned up: at the limit, backups fail"
        advice = f"Remove it with vmkeep lock delete: {name_locks(subject.facts.locks)}."
        yield OutlookLine("Restore points", _WARNING, what, advice=advice)


def _judged(name: str, subject: Look, rules: Sequence[preflight.Rule], good: str) -> Iterator[OutlookLine]:
    """Yield what the broken ones among some rules say, or that all is good."""
    broken = preflight.broken_rules(subject.facts, rules)
    yield from (OutlookLine.of(name, error) for error in broken)
    if not broken:
        yield OutlookLine(name, _GOOD, good)


def _capture(subject: Look) -> Iterator[OutlookLine]:
    selection = subject.item.disk_selection if subject.item else None
    obstacles = subject.pillars.fabric.capture_obstacles(subject.machine.uuid, selection=selection)
    for error in obstacles:
        yield OutlookLine.of("Capture", error)
    if not obstacles:
        yield OutlookLine("Capture", _GOOD, f"the VM is {subject.machine.state}, there is room for layers")


def _consistency(subject: Look) -> Iterator[OutlookLine]:
    """Yield the rung to expect; there is none in a state that allows no backup."""
    machine = subject.machine
    rung = f"{machine.expected_consistency}-consistent"
    if machine.state is not MachineState.RUNNING:
        if machine.state is MachineState.OFF:
            yield OutlookLine("Agent", _GOOD, "not needed: a VM that is off has nothing to freeze")
    elif machine.agent is AgentState.READY:
        yield OutlookLine("Agent", _GOOD, f"ready, version {machine.agent_version}: {rung} or better")
    else:
        instead = "qemu-guest-agent answers" if machine.guest_agent else "nor does qemu-guest-agent answer"
        advice = "Start the Azure Linux agent in the guest; on Debian: systemctl restart walinuxagent."
        what = f"the agent is {machine.agent}, {instead}: the backup would be {rung}"
        better = machine.expected_consistency is not Consistency.CRASH
        remedy = advice if better else f"{advice} Or start qemu-guest-agent."
        enough = machine.expected_consistency.reaches(subject.facts.item.least_consistency)
        weight = _WARNING if enough else Weight.FAILURE
        yield OutlookLine("Agent", weight, what, _AGENT_SILENT, remedy)


def _network(subject: Look) -> Iterator[OutlookLine]:
    used = {nic.network for nic in subject.machine.nics if nic.network}
    attached = {network.name for network in subject.pillars.fabric.list_networks() if network.attached}
    if used & attached:
        yield OutlookLine("Network", _GOOD, f"'{min(used & attached)}' leads to the wire server")
        return
    where = f"of its networks ({', '.join(sorted(used))})" if used else "libvirt network"
    what = f"the VM is on no {where} that leads to the wire server, so its agent cannot be heard"
    name = min(used) if used else "NETWORK"
    yield OutlookLine("Network", _WARNING, what, _AGENT_SILENT, f"Attach it: vmkeep fabric attach {name}")


def _repository(subject: Look) -> Iterator[OutlookLine]:
    if subject.item is None:
        return
    vault = subject.pillars.catalog.get_vault_by_id(subject.item.vault_id)
    try:
        subject.pillars.repositories.open(vault)
    except VmkeepError as error:
        yield OutlookLine.of("Repository", error)
    else:
        yield OutlookLine("Repository", _GOOD, f"{vault.repository_url} answers and its key fits")


def _jobs(subject: Look) -> Iterator[OutlookLine]:
    item = subject.item
    if item is None:
        return
    catalog = subject.pillars.catalog
    job = catalog.find_running_job(item.id)
    if job is not None:
        vault = catalog.get_vault_by_id(job.vault_id).name
        refused = OperationInProgress(item=job.item_name, job=job.id, vault=vault)
        yield OutlookLine.of(f"{job.operation} job", refused, _WARNING)
    if item.last_backup is None:
        yield OutlookLine("Last backup", _GOOD, "none yet: the first one reads all disks whole")
    elif item.last_backup_status == "Failed":
        how = f"failed at {item.last_backup:%Y-%m-%d %H:%M} UTC"
        yield OutlookLine("Last backup", _WARNING, how, advice="See why: vmkeep job list --status Failed")
    else:
        how = f"{item.last_backup_status.lower()} at {item.last_backup:%Y-%m-%d %H:%M} UTC"
        yield OutlookLine("Last backup", _GOOD, how)


_DISK_RULES = (preflight.disks_are_not_too_large, preflight.disks_are_not_too_many)
_KEY_RULES = (preflight.disk_keys_are_named, preflight.key_vaults_permit, preflight.key_vaults_answer)
_VIEWS: tuple[Callable[[Look], Iterator[OutlookLine]], ...] = (
    _protection,
    _disks,
    _encryption,
    _restore_points,
    _capture,
    _consistency,
    _network,
    _repository,
    _jobs,
)
