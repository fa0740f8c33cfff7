"""Causes in the Azure Linux agent and in what it stands on."""

from vmkeep.diagnosis.cause import ByCodes, Cause, Mend, Reading, by, holds, refuted, unknown
from vmkeep.diagnosis.evidence import Fact, GuestFact, HostFact, JobFact, OfflineFact, Seen
from vmkeep.diagnosis.leaves.host import is_starved
from vmkeep.diagnosis.leaves.network import is_heard

LEAST_FREE_KIB = 10 * 1024
MOST_SKEW_S = 140 * 60
"""The snapshot extension refuses commands that are older."""
_RAN = ByCodes.recorded(
    "UserErrorFsFreezeFailed",
    "UserErrorFsFreezeTimeout",
    "UserErrorUnableToOpenMount",
    "ExtensionSnapshotFailedNoNetwork",
)
_NO_GUEST = "the guest's own view: qemu-guest-agent does not answer"
_NO_FILES = "the guest's files: neither qemu-guest-agent nor a restore point tells"


def _not_installed(seen: Seen) -> Reading:
    if is_heard(seen):
        return refuted(HostFact.AGENT_HEARD)
    unit = seen.value(GuestFact.AGENT_UNIT)
    if unit is not None:
        return holds(GuestFact.AGENT_UNIT) if unit == "none" else refuted(GuestFact.AGENT_UNIT)
    return by(seen, OfflineFact.UNIT, lambda state: state == "absent", _NO_FILES)


def _root_full(seen: Seen) -> Reading:
    free, mode = seen.value(GuestFact.ROOT_FREE_KIB), seen.value(GuestFact.ROOT_MODE)
    if mode == "ro":
        return holds(GuestFact.ROOT_MODE)
    if free is None or mode is None:
        return _unless_it_ran(seen)
    return (
        holds(GuestFact.ROOT_FREE_KIB)
        if int(free) < LEAST_FREE_KIB
        else refuted(GuestFact.ROOT_FREE_KIB, GuestFact.ROOT_MODE)
    )


def _unless_it_ran(seen: Seen) -> Reading:
    """Return what can be said without the guest: an extension that came as far as the freeze had room and time enough."""
    return refuted(JobFact.CODES) if _RAN(seen).holds else unknown(_NO_GUEST)


def _wrong_clock(seen: Seen) -> Reading:
    clock = seen.find(GuestFact.CLOCK)
    if clock is None:
        return _unless_it_ran(seen)
    skew_s = abs(int(clock.value) - clock.at.timestamp())
    return holds(GuestFact.CLOCK) if skew_s > MOST_SKEW_S else refuted(GuestFact.CLOCK)


def _of_installed(seen: Seen, *facts: Fact) -> Reading | None:
    """Return what can be said of an agent's trouble without looking at `facts`; None when they decide."""
    if is_heard(seen):
        return refuted(HostFact.AGENT_HEARD)
    if seen.value(GuestFact.AGENT_UNIT) == "none":
        return refuted(GuestFact.AGENT_UNIT)
    if any(seen.value(fact) is None for fact in facts):
        return unknown(_NO_GUEST)
    return None


def _damaged(seen: Seen) -> Reading:
    said = _of_installed(seen, GuestFact.PYTHON)
    return said or by(seen, GuestFact.PYTHON, lambda value: value != "works", _NO_GUEST)


def _stopped(seen: Seen) -> Reading:
    if seen.value(OfflineFact.UNIT) in {"disabled", "masked"} and not is_heard(seen):
        return holds(OfflineFact.UNIT)
    facts = (GuestFact.AGENT_ACTIVE, GuestFact.AGENT_PROCESS)
    said = _of_installed(seen, *facts)
    if said is not None:
        return said
    is_running = seen.value(GuestFact.AGENT_PROCESS) != "none"
    return refuted(GuestFact.AGENT_PROCESS) if is_running else holds(*facts, GuestFact.AGENT_ENABLED)


def _hung(seen: Seen) -> Reading:
    said = _of_installed(seen, GuestFact.AGENT_PROCESS)
    if said is not None:
        return said
    states = seen.value(GuestFact.AGENT_PROCESS) or ""
    facts = (GuestFact.AGENT_PROCESS, HostFact.AGENT_HEARD)
    if states == "none":
        return refuted(GuestFact.AGENT_PROCESS)
    if set(states) & set("Tt" if is_starved(seen) else "TDt"):
        return holds(*facts)
    if set(seen.value(GuestFact.EXTENSION_PROCESS) or "") & set("Tt"):
        return refuted(
            GuestFact.EXTENSION_PROCESS
        )  # it waits for the extension's command, which stands still
    if seen.value(HostFact.AGENT_HEARD) == "late" and is_starved(seen):
        return refuted(*facts, HostFact.CPU_WAIT)
    return unknown("why a process that is neither stopped nor waiting for I/O says nothing")


def _extensions_off(seen: Seen) -> Reading:
    """Return whether the agent does nothing because it was told so: it then asks for work every 300 s only."""
    fact = (
        OfflineFact.EXTENSIONS
        if seen.value(GuestFact.EXTENSIONS_ENABLED) is None
        else GuestFact.EXTENSIONS_ENABLED
    )
    if is_heard(seen) and seen.value(fact) == "n":
        if seen.value(GuestFact.SETTINGS_READ) == "yes":
            return holds(fact, GuestFact.SETTINGS_READ)
        return unknown("whether the running agent has read its settings")
    return by(seen, fact, lambda value: value == "n", _NO_GUEST)


FIRST_LEAVES = (
    Cause(
        "A1",
        "the Azure Linux agent is not installed",
        "Install it from the distribution: apt install waagent (Debian), walinuxagent (Ubuntu), WALinuxAgent (Fedora, "
        "RHEL); docs/guests.md says what else a guest needs.",
        _not_installed,
    ),
)
"""Before the network: an agent that is not there asks for nothing, however good the way."""

LEAVES = (
    Cause(
        "A6",
        "the guest's root file system is full or read-only",
        "Free space on / (df -h /, journalctl --vacuum-size=100M), or repair and remount it: mount -o remount,rw /.",
        _root_full,
    ),
    Cause(
        "A7",
        "the guest's clock is wrong by more than 140 minutes",
        "Set the guest's clock: timedatectl set-ntp true, or date -s.",
        _wrong_clock,
    ),
    Cause(
        "A4",
        "the agent's package is damaged: Python cannot load it",
        "Install the agent and python3 anew from the distribution, not from GitHub.",
        _damaged,
    ),
    Cause(
        "A2",
        "the Azure Linux agent is stopped, disabled or masked",
        "Start it in the guest: systemctl unmask walinuxagent; systemctl enable --now walinuxagent.",
        _stopped,
        Mend.START_AGENT,
    ),
    Cause(
        "A5",
        "the agent is told to run no extensions: Extensions.Enabled=n",
        "Set Extensions.Enabled=y in /etc/waagent.conf and restart the agent.",
        _extensions_off,
        Mend.ENABLE_EXTENSIONS,
    ),
    Cause(
        "A3",
        "the agent's process is there but hangs",
        "Restart it in the guest: systemctl restart walinuxagent.",
        _hung,
        Mend.RESTART_AGENT,
    ),
)
