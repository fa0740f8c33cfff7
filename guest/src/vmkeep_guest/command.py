"""The commands that the agent gives: install, enable, disable, update, uninstall. Only `enable` does something."""

import os
import sys

from vmkeep_guest import codes, files, mounts, scripts, settings
from vmkeep_guest.backup import Backup
from vmkeep_guest.errors import BackupFailed, WrongSurroundings
from vmkeep_guest.freezer import Freezer
from vmkeep_guest.handler import Handler, Memory
from vmkeep_guest.log import Log
from vmkeep_guest.report import Outcome, Reporter
from vmkeep_guest.rules import FreezeRules
from vmkeep_guest.scripts import Scripts
from vmkeep_guest.settings import Task

TYPE_CHECKING = False
if TYPE_CHECKING:
    from vmkeep_guest.backup import MakeFreezer

COMMANDS = ("install", "enable", "disable", "update", "uninstall")
USAGE, NOT_INSTALLED, NOT_WRITTEN = 64, 66, 74
"""Exit codes; the agent shows them, with what we say on stderr, as the handler's failure."""
_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Places:
    """Where things are that neither the agent nor the host tells."""

    def __init__(
        self, azure: str = "/etc/azure", mountinfo: str = "/proc/self/mountinfo", owner: int = 0
    ) -> None:
        self.azure = azure
        self.mountinfo = mountinfo
        self.owner = owner
        """The user that must own scripts and their configuration."""


def main(arguments: "list[str]", folder: str = _FOLDER) -> int:
    """Obey one command and return the exit code. What goes wrong with a backup is in its status, not in the code."""
    if len(arguments) != 1 or arguments[0] not in COMMANDS:
        print("usage: handle.sh {}".format("|".join(COMMANDS)), file=sys.stderr)
        return USAGE
    if arguments[0] != "enable":
        return 0
    try:
        handler = Handler(folder)
        Enable(handler, handler.number(), Places()).run()
    except WrongSurroundings as error:
        print(error, file=sys.stderr)
        return NOT_INSTALLED
    except OSError as error:
        print("the status cannot be written: {}".format(error), file=sys.stderr)
        return NOT_WRITTEN
    return 0


class Enable:
    """One `enable`: at most one backup, and always a status under this number in the end."""

    def __init__(
        self, handler: Handler, number: int, places: Places, freezer: "MakeFreezer" = Freezer
    ) -> None:
        self._handler = handler
        self._number = number
        self._places = places
        self._freezer = freezer
        self._log = Log(handler.log_folder)
        self._machine = handler.machine()
        self._reporter = Reporter(handler.name, handler.version, self._machine)
        self._task_id = ""
        self._ticks = ""

    def run(self) -> None:
        """Do what the settings ask for, here, or in the background when it may take longer than `enable` may."""
        try:
            task = settings.read(self._handler.settings_path(self._number), self._handler.agent_folder)
        except BackupFailed as failure:
            self._log.event("settings.refused", code=failure.code, message=failure.message)
            self._log.flush()
            self._write(self._document(Outcome().conclude(failure.code, failure.message)))
            return
        self._task_id, self._ticks = task.id, task.started_ticks
        if task.is_install:
            self._write(self._document(Outcome().conclude(codes.SUCCESS, "Installed.")))
        else:
            self._arrange(task)
        self._log.flush()
        self._handler.forget_old_numbers(self._number)

    def _arrange(self, task: Task) -> None:
        """See to it that the task is settled: at once when it is short and nothing else runs."""
        with self._handler.turn() as turn:
            free = turn.taken(wait=False)
            known = self._remembered()
            if not free and known.number == self._number:
                return  # this very command is being obeyed; the agent has only been restarted
            hooks, problem = self._find_scripts()
            if free and (hooks is None or known.task == self._key(task)):
                self._settle(task, hooks, problem)
                return
            self._write(self._document(Outcome()))
            self._log.flush()
            if os.fork() == 0:
                _go_to_background()
                try:
                    turn.taken(wait=True)
                    self._settle(task, hooks, problem)
                except Exception as error:  # noqa: BLE001 - nobody is left to hear of it but the log
                    self._log.accident("background.broken", error)
                finally:
                    self._log.flush()
                    os._exit(0)

    def _settle(self, task: Task, hooks: "Scripts | None", problem: "BackupFailed | None") -> None:
        """Run the task and report it; report it again when it ran before. The turn must be ours.

        What is remembered as begun but not as ended was interrupted: by a restart of the guest, or killed.
        """
        memory, key = self._remembered(), self._key(task)
        if memory.task == key:
            document = memory.status or self._document(_interrupted())
        else:
            memory.put(key, self._number, None)
            document = self._document(self._back_up(task, hooks, problem))
        memory.put(key, self._number, document)
        self._write(document)

    def _back_up(self, task: Task, hooks: "Scripts | None", problem: "BackupFailed | None") -> Outcome:
        self._log.event("backup.start", number=self._number, task=task.id)
        try:
            rules = FreezeRules(os.path.join(self._places.azure, "vmbackup.conf"))
            with open(self._places.mountinfo, "rb") as file:
                chosen = mounts.to_freeze(file.read(), rules.skipped)
            outcome = Backup(task, chosen, rules, hooks, log=self._log, freezer=self._freezer).run()
            if rules.problem:
                self._log.event("rules.unreadable", problem=rules.problem)
                _tell_of_rules(outcome, rules.problem)
        except Exception as error:  # noqa: BLE001 - whatever happens, the host must hear of it
            self._log.accident("backup.broken", error)
            return Outcome().conclude(codes.ERROR, "the extension failed: {!r}".format(error))
        if problem is not None and outcome.code == codes.SUCCESS:
            outcome.conclude(codes.SUCCESS, problem.message, problem.health_code)
        self._log.event("backup.done", code=outcome.code, health=outcome.health_code)
        return outcome

    def _find_scripts(self) -> "tuple[Scripts | None, BackupFailed | None]":
        """Return the user's scripts, or what is wrong with their configuration; that never prevents a backup."""
        try:
            return scripts.find(self._handler.log_folder, self._places.azure, self._places.owner), None
        except BackupFailed as failure:
            self._log.event("scripts.unusable", code=failure.code, message=failure.message)
            return None, failure

    def _remembered(self) -> Memory:
        return Memory(self._handler.memory_path(), self._machine)

    def _key(self, task: Task) -> str:
        return task.id or "number {}".format(self._number)

    def _document(self, outcome: Outcome) -> "list[object]":
        return self._reporter.document(outcome, self._task_id, self._ticks)

    def _write(self, document: object) -> None:
        files.write_json(self._handler.status_path(self._number), document)


def _tell_of_rules(outcome: Outcome, problem: str) -> None:
    """Let the host know what was not heeded; what is worse keeps its code."""
    if outcome.health_code in (codes.APPLICATION_CONSISTENT, codes.SUCCESS):
        outcome.conclude(outcome.code, problem, codes.RULES_UNREADABLE)
    else:
        outcome.conclude(outcome.code, "{}; {}".format(outcome.message, problem), outcome.health_code)


def _interrupted() -> Outcome:
    return Outcome().conclude(codes.ERROR, "the backup was interrupted: the guest or its agent was stopped")


def _go_to_background() -> None:
    """Part from the agent: it waits for our streams to close, and kills the process group that it started."""
    os.setsid()
    nowhere = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nowhere, stream)
