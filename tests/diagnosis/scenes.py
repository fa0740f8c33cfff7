"""Recorded evidence: a healthy VM, and what is different about it for each cause."""

from datetime import UTC, datetime

from vmkeep.diagnosis.evidence import Fact, GuestFact, HostFact, JobFact, OfflineFact

AT = datetime(2026, 1, 1, tzinfo=UTC)
HEALTHY: dict[Fact, str] = {
    HostFact.WIRE_SERVER: "serving",
    HostFact.VM_STATE: "running",
    HostFact.LINK: "up",
    HostFact.AGENT_HEARD: "now",
    HostFact.AGENT_STATUS: "ready",
    HostFact.GUEST_AGENT: "answers",
    HostFact.OBSTACLES: "none",
    HostFact.LOCKS: "0",
    HostFact.RUNNING_JOB: "none",
    HostFact.CPU_PRESSURE: "5",
    HostFact.MEMORY_PRESSURE: "0",
    HostFact.CPU_WAIT: "40",
    GuestFact.AGENT_UNIT: "walinuxagent",
    GuestFact.AGENT_ENABLED: "enabled",
    GuestFact.AGENT_ACTIVE: "active",
    GuestFact.AGENT_PROCESS: "SS",
    GuestFact.EXTENSION_PROCESS: "none",
    GuestFact.AGENT_FOLDER: "exec",
    GuestFact.PYTHON: "works",
    GuestFact.EXTENSIONS_ENABLED: "y",
    GuestFact.SETTINGS_READ: "yes",
    GuestFact.ROOT_FREE_KIB: "500000",
    GuestFact.ROOT_MODE: "rw",
    GuestFact.ADDRESS: "yes",
    GuestFact.FABRIC_ROUTE: "yes",
    GuestFact.WIRE_CONNECT: "ok",
    GuestFact.CLOCK: str(int(AT.timestamp())),
    GuestFact.BACKUP_CONF: "none",
    GuestFact.DISTRIBUTION: "Debian GNU/Linux 12",
    JobFact.CODES: "none",
    JobFact.EXIT_CODE: "none",
    JobFact.LIMIT_LOCKS: "none",
}
SILENT: dict[Fact, str] = {**HEALTHY, HostFact.AGENT_HEARD: "silent", HostFact.AGENT_STATUS: "none"}
STOPPED: dict[Fact, str] = {
    **SILENT,
    GuestFact.AGENT_ACTIVE: "inactive",
    GuestFact.AGENT_PROCESS: "none",
}
WITHOUT_GUEST: dict[Fact, str] = {
    **{fact: value for fact, value in SILENT.items() if not isinstance(fact, GuestFact)},
    HostFact.GUEST_AGENT: "silent",
    OfflineFact.PACKAGE: "installed",
    OfflineFact.UNIT: "enabled",
    OfflineFact.EXTENSIONS: "y",
}
"""Neither agent answers; the files of the newest restore point were read."""
LIMIT = "UserErrorRpCollectionLimitReached"

SCENES: dict[str, dict[Fact, str]] = {
    "N5": {**STOPPED, HostFact.WIRE_SERVER: "no answer on virbr0"},
    "V1": {**STOPPED, HostFact.VM_STATE: "paused", HostFact.OBSTACLES: "UserErrorVmNotInDesirableState"},
    "D1": {**HEALTHY, HostFact.OBSTACLES: "UserErrorUnsupportedDiskSize"},
    "R1": {**HEALTHY, HostFact.OBSTACLES: LIMIT, HostFact.LOCKS: "1"},
    "R2": {**HEALTHY, HostFact.OBSTACLES: LIMIT},
    "V3": {**HEALTHY, JobFact.CODES: "HostStorageFull"},
    "J1": {**HEALTHY, HostFact.RUNNING_JOB: "Backup 3f2a"},
    "K1": {**HEALTHY, HostFact.OBSTACLES: "UserErrorKeyvaultPermissionsNotConfigured"},
    "N3": {**SILENT, GuestFact.WIRE_CONNECT: "timeout"},
    "N1": {**SILENT, GuestFact.ADDRESS: "none", GuestFact.WIRE_CONNECT: "unreachable"},
    "N2": {**SILENT, GuestFact.FABRIC_ROUTE: "none", GuestFact.WIRE_CONNECT: "unreachable"},
    "A1": {**STOPPED, GuestFact.AGENT_UNIT: "none"},
    "A6": {**SILENT, GuestFact.ROOT_FREE_KIB: "0"},
    "A7": {**HEALTHY, GuestFact.CLOCK: "0"},
    "A4": {**STOPPED, GuestFact.PYTHON: "broken"},
    "A2": STOPPED,
    "A5": {**SILENT, GuestFact.EXTENSIONS_ENABLED: "n"},
    "A3": {**SILENT, GuestFact.AGENT_PROCESS: "ST"},
    "X3": {**HEALTHY, GuestFact.BACKUP_CONF: "utf-16"},
    "F1": {**HEALTHY, JobFact.CODES: "UserErrorFsFreezeFailed"},
    "F2": {**HEALTHY, JobFact.CODES: "UserErrorFsFreezeTimeout"},
    "F3": {**HEALTHY, JobFact.CODES: "Pre-ScriptTimeout"},
    "N4": {**HEALTHY, JobFact.CODES: "ExtensionSnapshotFailedNoNetwork"},
    "X2": {
        **HEALTHY,
        JobFact.CODES: "ExtensionOperationFailedForManagedDisks",
        JobFact.EXIT_CODE: "137",
    },
    "X1": {**HEALTHY, JobFact.CODES: "ExtensionStuckInDeletionState"},
    "V2": {**HEALTHY, JobFact.CODES: "GuestAgentSnapshotTaskStatusError", HostFact.CPU_WAIT: "93"},
}
