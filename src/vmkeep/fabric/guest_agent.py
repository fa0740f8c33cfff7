"""qemu-guest-agent: the second way into a guest, and the one that can thaw what somebody else froze."""

import base64
import json
import re
from math import ceil
from typing import Any

import libvirt
import libvirt_qemu

from vmkeep.base.clock import Clock
from vmkeep.base.units import KIB
from vmkeep.fabric.errors import GuestAgentRefused, GuestAgentSilent, HypervisorRefused, VmVanished
from vmkeep.fabric.host import Domain, translate

PING_TIMEOUT_S = 2
THAW_TIMEOUT_S = 5
COMMAND_TIMEOUT_S = 5
_NOT_PLAIN = re.compile(r"[^ -~]+")
_MOST_SAID = 300
ANSWER_LIMIT = 64 * KIB
"""Characters of an answer; a longer one is refused unread."""
LOOK_S = 0.2
_STATUS = "guest-exec-status"
_FROZEN = "agent is in frozen state"
"""What qemu-guest-agent says of nearly every command between fsfreeze-freeze and fsfreeze-thaw."""

_SILENT = {
    getattr(libvirt, name, None)
    for name in (
        "VIR_ERR_AGENT_UNRESPONSIVE",
        "VIR_ERR_AGENT_UNSYNCED",
        "VIR_ERR_AGENT_COMMAND_TIMEOUT",  # newer than libvirt 9.0
        "VIR_ERR_ARGUMENT_UNSUPPORTED",  # the VM has no channel for the agent
        "VIR_ERR_OPERATION_INVALID",  # the VM is off
        "VIR_ERR_OPERATION_TIMEOUT",  # another call to the agent hangs
    )
}


def ping(domain: Domain) -> bool:
    """Whether qemu-guest-agent answers within two seconds."""
    try:
        _command(domain, "guest-ping", timeout_s=PING_TIMEOUT_S)
    except (GuestAgentSilent, GuestAgentRefused, VmVanished):
        return False
    return True


def ask(domain: Domain, command: str, **arguments: object) -> Any:  # the guest's JSON
    """Return what the guest answers to a command that only looks. Raises GuestAgentSilent, GuestAgentRefused."""
    return _command(domain, command, arguments, timeout_s=COMMAND_TIMEOUT_S)


def freeze(domain: Domain, *, timeout_s: float) -> int:
    """Freeze the guest's file systems and return how many. Raises GuestAgentSilent, GuestAgentRefused.

    After an error the guest may be frozen all the same, or become so later: thaw it.
    """
    return int(_command(domain, "guest-fsfreeze-freeze", timeout_s=timeout_s))


def thaw(domain: Domain) -> int:
    """Thaw the guest's file systems, whoever froze them, and return how many were frozen.

    Linux counts every file system that FITHAW succeeded on. Raises GuestAgentSilent, GuestAgentRefused.
    """
    return int(_command(domain, "guest-fsfreeze-thaw", timeout_s=THAW_TIMEOUT_S))


def run_script(
    domain: Domain, script: str, *, limit_s: float, clock: Clock, must_succeed: bool = False
) -> str:
    """Run a shell script in the guest and return what it printed.

    A script that has not ended within `limit_s` is left behind. While a backup's freeze lasts, qemu-guest-agent refuses
    both to start one and to tell of it, and in a starved guest it may be too slow to tell; it is asked again. Raises GuestAgentSilent, and GuestAgentRefused also for a
    script that fails when it `must_succeed`.
    """
    end = clock.monotonic() + limit_s
    arguments = {"path": "/bin/sh", "arg": ["-c", script], "capture-output": True}
    started = _command_unfrozen(domain, "guest-exec", arguments, end=end, clock=clock)
    pid = started.get("pid") if isinstance(started, dict) else None
    if not isinstance(pid, int):
        raise GuestAgentRefused(domain.name(), "guest-exec", "an answer without a process id")
    while clock.monotonic() < end:
        status = _command_unfrozen(domain, _STATUS, {"pid": pid}, end=end, clock=clock)
        if not isinstance(status, dict):
            break
        if status.get("exited") is True:
            if must_succeed and status.get("exitcode") != 0:
                said = " ".join(_NOT_PLAIN.sub(" ", _printed(status)).split())[-_MOST_SAID:]
                raise GuestAgentRefused(domain.name(), "guest-exec", f"the script failed and said: {said}")
            return _printed(status)
        clock.sleep(LOOK_S)
    raise GuestAgentSilent(domain.name(), "guest-exec", f"a script did not end within {limit_s:g} s")


def _command_unfrozen(
    domain: Domain, command: str, arguments: dict[str, object], *, end: float, clock: Clock
) -> Any:  # the guest's JSON
    while True:
        try:
            return _command(domain, command, arguments, timeout_s=COMMAND_TIMEOUT_S)
        except GuestAgentRefused as error:
            if _FROZEN not in str(error) or clock.monotonic() >= end:
                raise
        except GuestAgentSilent:
            if command != _STATUS or clock.monotonic() >= end:
                raise
        clock.sleep(LOOK_S)


def _printed(status: dict[str, Any]) -> str:  # the guest's JSON
    try:
        return base64.b64decode(status.get("out-data") or "").decode(errors="replace")
    except (TypeError, ValueError):
        return ""


def _command(
    domain: Domain, command: str, arguments: dict[str, object] | None = None, *, timeout_s: float
) -> Any:  # the guest's JSON
    question = json.dumps({"execute": command, **({"arguments": arguments} if arguments else {})})
    try:
        answer = libvirt_qemu.qemuAgentCommand(domain, question, ceil(timeout_s), 0)
    except libvirt.libvirtError as error:
        refused = translate(error, f"pass {command} on", vm_uuid=domain.UUIDString())
        if not isinstance(refused, HypervisorRefused):
            raise refused from error
        kind = GuestAgentSilent if error.get_error_code() in _SILENT else GuestAgentRefused
        raise kind(domain.name(), command, refused.message) from error
    return read_answer(answer, domain.name(), command)


def read_answer(answer: str, vm_name: str, command: str) -> Any:  # the guest's JSON
    """Return what an answer of any guest carries. Raises GuestAgentRefused for one that is long or no answer."""
    if len(answer) > ANSWER_LIMIT:
        raise GuestAgentRefused(vm_name, command, f"an answer of more than {ANSWER_LIMIT} characters")
    try:
        return json.loads(answer)["return"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise GuestAgentRefused(vm_name, command, "an answer that is none") from error
