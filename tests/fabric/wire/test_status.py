"""What is made of a status, whatever its shape."""

import json

from hypothesis import given
from hypothesis import strategies as st

from vmkeep.fabric.wire.errors import RequestRefused
from vmkeep.fabric.wire.extension_package import HANDLER_NAME
from vmkeep.fabric.wire.guest_json import MESSAGE_LIMIT
from vmkeep.fabric.wire.report import AgentReport
from vmkeep.fabric.wire.status import AgentStatus, read_status, read_upload

KEYS = (
    "aggregateStatus", "guestAgentStatus", "handlerAggregateStatus", "handlerName", "runtimeSettingsStatus",
    "settingsStatus", "status", "code", "sequenceNumber", "substatus", "name", "formattedMessage", "message",
    "telemetryData", "Key", "Value", "FrozenMounts", "timestampUTC", "version", "content", "requestUri",
)  # fmt: skip
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([*KEYS, HANDLER_NAME])
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=30,
)


def wrapped(agent: object, extension: object, report: object) -> bytes:
    """A status of the right shape around values of any."""
    status = {"status": extension, "substatus": [{"name": json.dumps([{"status": report}])}]}
    settings = {"sequenceNumber": report, "settingsStatus": {"status": extension or status}}
    handler = {"handlerName": HANDLER_NAME, "code": report, "runtimeSettingsStatus": settings}
    aggregate = {"guestAgentStatus": agent, "handlerAggregateStatus": [extension, handler]}
    return json.dumps({"aggregateStatus": aggregate, "timestampUTC": agent}).encode()


def read_or_none(blob: bytes) -> AgentStatus | None:
    try:
        return read_status(blob)
    except RequestRefused:
        return None


@given(VALUES, VALUES, VALUES)
def test_any_status_is_read_or_refused_and_survives_being_kept(
    agent: object, extension: object, report: object
) -> None:
    status = read_or_none(wrapped(agent, extension, report))
    if status is None:
        return
    kept = json.loads(json.dumps(AgentReport("vm", status=status).to_json()))
    assert AgentReport.from_json("vm", kept).status is not None
    if status.handler and status.handler.extension:
        assert len(status.handler.extension.message) <= MESSAGE_LIMIT


@given(VALUES)
def test_any_json_is_read_or_refused(value: object) -> None:
    blob = json.dumps(value).encode()
    read_or_none(blob)
    try:
        read_upload(blob)
    except RequestRefused:
        return


@given(st.binary())
def test_any_bytes_are_refused(blob: bytes) -> None:
    assert read_or_none(blob) is None
