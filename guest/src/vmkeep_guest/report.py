"""The status document that the agent carries to the host."""

import json
import os
import sys

from vmkeep_guest import clock, codes
from vmkeep_guest.host import DiskResult

_MAX_MESSAGE = 2000
_CRASH_CONSISTENT = 3
_RUNNING_MESSAGE = "Transitioning state in extension"


class Outcome:
    """How a backup went so far; grows while it runs, so that a failure reports what came before it."""

    def __init__(self) -> None:
        self.code = codes.RUNNING
        self.message = _RUNNING_MESSAGE
        self.health_code = codes.RUNNING
        self.consistency = "none"
        """`application`, `fileSystem`, `crash` or `none`."""
        self.disks = []  # type: list[DiskResult]
        self.partitions = 0
        self.used_bytes = 0
        self.telemetry = {}  # type: dict[str, str]

    def conclude(self, code: int, message: str, health_code: int = 0) -> "Outcome":
        """Set the result, and return the outcome."""
        self.code, self.message, self.health_code = code, message[:_MAX_MESSAGE], health_code or code
        return self

    @property
    def succeeded(self) -> bool:
        """Whether there is a backup, or still may be."""
        return self.code in (codes.APPLICATION_CONSISTENT, codes.SUCCESS, codes.RUNNING)


class Reporter:
    """Writes outcomes down as the host expects them. `name` and `version` are the extension's own."""

    def __init__(self, name: str, version: str, machine: str) -> None:
        self._name = name
        self._version = version
        self._machine = machine

    def document(self, outcome: Outcome, task_id: str, ticks: str) -> "list[object]":
        """Return the status document.

        Its outer status is always `success`, as the host expects for resource-manager VMs; the outer code, a
        decimal string, is the result. The one substatus carries the report, as JSON text, in its name.
        """
        code = str(outcome.code)
        status = {
            "name": self._name,
            "operation": "Enable",
            "status": "success",
            "code": code,
            "configurationAppliedTime": None,
            "formattedMessage": {"lang": "en-US", "message": outcome.message},
            "substatus": [
                {
                    "name": self._report_text(outcome, task_id, ticks),
                    "status": "success",
                    "code": "0",
                    "formattedMessage": {"lang": "en-US", "message": None},
                }
            ],
        }  # type: dict[str, object]
        return [{"version": "1.0", "timestampUTC": clock.stamp(clock.now()), "status": status}]

    def _report_text(self, outcome: Outcome, task_id: str, ticks: str) -> str:
        date = "/Date({})/".format(int(clock.now() * 1000))
        report = {
            "version": "1.0",
            "timestampUTC": date,
            "status": {
                "name": self._name,
                "operation": "Enable",
                "status": "success" if outcome.succeeded else "error",
                "code": str(outcome.code),
                "taskId": task_id,
                "commandStartTimeUTCTicks": ticks,
                "formattedMessage": {"lang": "en-US", "message": _message_text(outcome)},
                "storageDetails": {
                    "partitionCount": outcome.partitions,
                    "totalUsedSizeInBytes": outcome.used_bytes,
                    "isStoragespacePresent": False,
                    "isSizeComputationFailed": False,
                },
                "telemetryData": [
                    {"Key": key, "Value": value} for key, value in self._telemetry(outcome).items()
                ],
                "uniqueMachineId": self._machine,
                "snapshotInfo": [_disk_entry(disk) for disk in outcome.disks],
                "vmHealthInfo": {
                    "vmHealthState": codes.health_state(outcome.health_code),
                    "vmHealthStatusCode": outcome.health_code,
                },
            },
        }
        # .NET readers know a date by its escaped slashes.
        return json.dumps([report]).replace(date, date.replace("/", "\\/"))

    def _telemetry(self, outcome: Outcome) -> "dict[str, str]":
        known = {
            "extensionVersion": self._version,
            "extErrorCode": str(outcome.code),
            "consistencyType": outcome.consistency + ("" if outcome.consistency == "none" else "Consistent"),
            "kernelVersion": os.uname().release,
            "pythonVersion": sys.version.split()[0],
            "osVersion": _os_version(),
            "snapshotCreator": "backupHostService",
        }
        return dict(known, **outcome.telemetry)


def _message_text(outcome: Outcome) -> str:
    crash = outcome.consistency == "crash"
    return json.dumps(
        {
            "messageStr": outcome.message,
            "snapshotConsistency": _CRASH_CONSISTENT if crash else 0,
            "jobMessage": "",
            "isSizeComputationFailed": False,
        }
    )


def _disk_entry(disk: DiskResult) -> "dict[str, object]":
    return {
        "isSuccessful": disk.done,
        "snapshotUri": disk.uri,
        "errorMessage": disk.error or None,
        "blobUri": "",
        "directDriveSnapshotIdentifier": disk.identifier,
    }


def _os_version() -> str:
    """Return the distribution's name for itself, empty when it has none."""
    try:
        with open("/etc/os-release", encoding="utf-8", errors="replace") as file:
            pairs = [line.strip().partition("=") for line in file]
    except OSError:
        return ""
    return {name: value.strip("\"'") for name, _, value in pairs}.get("PRETTY_NAME", "")
