"""Where a VM's agent is remembered: one folder per VM, each file whole or absent (docs/formats/wire.md §10)."""

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import structlog

from vmkeep.fabric.wire.certificates import TenantKey
from vmkeep.fabric.wire.goal_state import ExtensionSettings, Goal
from vmkeep.fabric.wire.report import AgentReport
from vmkeep.fabric.wire.storage import make_private_folder, replace_file

log = structlog.get_logger()

FORMAT = 1
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AgentMemory:
    """What must outlive the service: who the container is, and the goal it was given."""

    container_id: str
    goal: Goal


class AgentStore:
    """The files of one VM. Unreadable files count as absent: everything here can be made anew."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        make_private_folder(folder)

    def find_memory(self) -> AgentMemory | None:
        """Return what was kept last."""
        return self._find("agent.json", lambda data: _memory(json.loads(data)))

    def put_memory(self, memory: AgentMemory) -> None:
        """Keep `memory`; on return it survives a power cut."""
        kept = {"format": FORMAT, **asdict(memory)}
        replace_file(self._folder / "agent.json", json.dumps(kept).encode())

    def find_tenant(self) -> TenantKey | None:
        """Return the tenant key."""
        return self._find("tenant.pem", TenantKey.from_pem)

    def put_tenant(self, tenant: TenantKey) -> None:
        """Keep the tenant key."""
        replace_file(self._folder / "tenant.pem", tenant.to_pem())

    def find_report(self, vm_uuid: str) -> AgentReport | None:
        """Return the last report kept."""
        return self._find("report.json", lambda data: AgentReport.from_json(vm_uuid, json.loads(data)))

    def put_report(self, report: AgentReport) -> None:
        """Keep the last report."""
        replace_file(self._folder / "report.json", json.dumps(report.to_json()).encode())

    def delete(self) -> None:
        """Remove all that is kept."""
        shutil.rmtree(self._folder)

    def _find(self, name: str, read: Callable[[bytes], T]) -> T | None:
        path = self._folder / name
        try:
            return read(path.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("wire.state.unreadable", path=str(path), error=repr(error))
            return None


def _memory(kept: dict[str, Any]) -> AgentMemory:  # JSON values
    if kept["format"] != FORMAT:
        raise ValueError(f"format {kept['format']} is not {FORMAT}")
    goal = kept["goal"]
    return AgentMemory(
        container_id=kept["container_id"],
        goal=Goal(
            incarnation=goal["incarnation"],
            last_seq_no=goal["last_seq_no"],
            settings=_settings(goal["settings"]),
            previous=_settings(goal["previous"]),
        ),
    )


def _settings(kept: dict[str, Any] | None) -> ExtensionSettings | None:  # JSON values
    return ExtensionSettings(**kept) if kept else None
