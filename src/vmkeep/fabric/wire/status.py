"""What an agent says about itself every six seconds, reduced to what we use (docs/formats/wire.md §6)."""

import base64
import binascii
from dataclasses import dataclass
from datetime import datetime

from vmkeep.fabric.wire import guest_json
from vmkeep.fabric.wire.errors import RequestRefused
from vmkeep.fabric.wire.extension_package import HANDLER_NAME
from vmkeep.fabric.wire.guest_json import MESSAGE_LIMIT, find, integer, items, seconds, text

STILL_RUNNING = 4
REPORT_LIMIT = 256 * 1024


@dataclass(frozen=True, slots=True)
class ExtensionStatus:
    """What the extension wrote about its last task. `code` None or a `transitioning` status: nothing final."""

    status: str
    code: int | None
    message: str
    task_id: str = ""
    health_code: int = 0
    frozen_s: float | None = None
    frozen_mounts: tuple[str, ...] = ()
    failed_mount: str = ""
    nothing_frozen: bool = False
    """Whether the extension says that its snapshot is no better than after a power cut."""

    @property
    def final(self) -> bool:
        """Whether the task has ended."""
        return self.status != "transitioning" and self.code not in {None, STILL_RUNNING}


@dataclass(frozen=True, slots=True)
class HandlerStatus:
    """What the agent says of our extension. `code` is the agent's own: 0, or why the extension could not run."""

    version: str
    status: str
    code: int
    message: str
    seq_no: int | None = None
    extension: ExtensionStatus | None = None


@dataclass(frozen=True, slots=True)
class AgentStatus:
    """One status upload."""

    agent_version: str
    agent_status: str
    os_name: str
    os_version: str
    computer_name: str
    incarnation: str
    """The goal state last processed; empty when the agent processes none."""
    guest_time: datetime | None
    handler: HandlerStatus | None


def read_upload(body: bytes) -> tuple[str, bytes]:
    """Return (status URL, status JSON) of an upload to the host plugin. Raises RequestRefused (400)."""
    upload = guest_json.parse(body)
    content = find(upload, "content")
    try:
        blob = base64.b64decode(content if isinstance(content, str) else "", validate=True)
    except (ValueError, binascii.Error) as error:
        raise RequestRefused(status=400, why="the status is not base64") from error
    return text(find(upload, "requestUri")), blob


def read_status(blob: bytes) -> AgentStatus:
    """Return the status in a status blob. Raises RequestRefused (400) when it is not an agent's status."""
    status = guest_json.parse(blob)
    agent = find(status, "aggregateStatus", "guestAgentStatus")
    if agent is None:
        raise RequestRefused(status=400, why="the status has no guestAgentStatus")
    artifacts = find(status, "aggregateStatus", "vmArtifactsAggregateStatus", "goalStateAggregateStatus")
    return AgentStatus(
        agent_version=text(find(agent, "version")),
        agent_status=text(find(agent, "status")),
        os_name=text(find(status, "guestOSInfo", "osName")),
        os_version=text(find(status, "guestOSInfo", "osVersion")),
        computer_name=text(find(status, "guestOSInfo", "computerName")),
        incarnation=text(find(artifacts, "inSvdSeqNo")),
        guest_time=_time(find(status, "timestampUTC")),
        handler=_our_handler(find(status, "aggregateStatus", "handlerAggregateStatus")),
    )


def _our_handler(handlers: object) -> HandlerStatus | None:
    for handler in items(handlers):
        if text(find(handler, "handlerName")).lower() == HANDLER_NAME.lower():
            return HandlerStatus(
                version=text(find(handler, "handlerVersion")),
                status=text(find(handler, "status")),
                code=integer(find(handler, "code")) or 0,
                message=_message(handler),
                seq_no=integer(find(handler, "runtimeSettingsStatus", "sequenceNumber")),
                extension=_extension(find(handler, "runtimeSettingsStatus", "settingsStatus", "status")),
            )
    return None


def _extension(status: object) -> ExtensionStatus | None:
    if status is None:
        return None
    report = _report(find(status, "substatus", 0, "name"))
    telemetry = {
        text(find(entry, "Key")): find(entry, "Value") for entry in items(find(report, "telemetryData"))
    }
    mounts = telemetry.get("FrozenMounts")
    return ExtensionStatus(
        status=text(find(status, "status")).lower(),
        code=integer(find(status, "code")),
        message=_plain(_message(status)),
        task_id=text(find(report, "taskId")),
        health_code=integer(find(report, "vmHealthInfo", "vmHealthStatusCode")) or 0,
        frozen_s=seconds(telemetry.get("FreezeSeconds")),
        frozen_mounts=tuple(text(mounts, MESSAGE_LIMIT).split(",")) if mounts else (),
        nothing_frozen=telemetry.get("consistencyType") == "crashConsistent",
        failed_mount=text(telemetry.get("FailedMount"), MESSAGE_LIMIT),
    )


def _report(name: object) -> object:
    """Return the extension's own report, which travels as JSON text in the name of its first substatus.

    Microsoft's extension puts everything below `status`, others some of it beside.
    """
    if not isinstance(name, str) or len(name) > REPORT_LIMIT:
        return None
    try:
        report = find(guest_json.parse(name), 0)
    except RequestRefused:
        return None
    inner = find(report, "status")
    return {**report, **inner} if isinstance(report, dict) and isinstance(inner, dict) else None


def _plain(message: str) -> str:
    """Return the sentence in a message that Microsoft's extension wraps in JSON."""
    if not message.startswith("{"):
        return message
    try:
        return text(find(guest_json.parse(message), "messageStr"), MESSAGE_LIMIT) or message
    except RequestRefused:
        return message


def _message(status: object) -> str:
    return text(find(status, "formattedMessage", "message"), MESSAGE_LIMIT)


def _time(value: object) -> datetime | None:
    try:
        when = datetime.fromisoformat(text(value))
    except ValueError:
        return None
    return when if when.tzinfo else None
