"""Where the agent puts things: the extension's folder, its settings, its status, and what it remembers."""

import fcntl
import os
import re

from vmkeep_guest import files
from vmkeep_guest.errors import WrongSurroundings
from vmkeep_guest.files import items, members

_KEPT_NUMBERS = 60
_ROLE = re.compile(r'<Role\s[^>]*guid="([^"]*)"')


class Handler:
    """This extension as the agent installed it in `folder`. Raises WrongSurroundings when it did not."""

    def __init__(self, folder: str) -> None:
        """Read what the agent left in the folder: our own manifest and the environment."""
        try:
            manifest = members(items(files.read_json(os.path.join(folder, "HandlerManifest.json")))[0])
            environment = members(items(files.read_json(os.path.join(folder, "HandlerEnvironment.json")))[0])
            places = members(environment["handlerEnvironment"])
            self.name = str(manifest["name"])
            self.version = str(manifest["version"])
            self.log_folder = str(places["logFolder"])
            self._config_folder = str(places["configFolder"])
            self._status_folder = str(places["statusFolder"])
        except (OSError, ValueError, LookupError) as error:
            raise WrongSurroundings("{} is not an installed extension: {!r}".format(folder, error)) from error
        self.agent_folder = os.path.dirname(os.path.abspath(folder))
        """The agent's own folder, where it keeps certificates, keys and the host's documents."""

    def number(self) -> int:
        """Return the sequence number of the settings to act on: told by the agent, else the highest there is."""
        told = os.environ.get("ConfigSequenceNumber", "")  # noqa: SIM112 - the agent spells it so
        found = [int(name[: -len(".settings")]) for name in self._listed(self._config_folder, ".settings")]
        if told.isdigit():
            return int(told)
        if not found:
            raise WrongSurroundings("the agent left no settings in " + self._config_folder)
        return max(found)

    def settings_path(self, number: int) -> str:
        """Return where the agent wrote the settings with this number."""
        return os.path.join(self._config_folder, "{}.settings".format(number))

    def status_path(self, number: int) -> str:
        """Return where the agent looks for the status belonging to this number."""
        return os.path.join(self._status_folder, "{}.status".format(number))

    def forget_old_numbers(self, number: int) -> None:
        """Delete settings and status files long past, which the agent never does."""
        for folder, ending in ((self._config_folder, ".settings"), (self._status_folder, ".status")):
            for name in self._listed(folder, ending):
                if int(name[: -len(ending)]) <= number - _KEPT_NUMBERS:
                    os.remove(os.path.join(folder, name))

    def machine(self) -> str:
        """Return the identity that the host gave this VM, empty when unknown. A restored copy has another."""
        try:
            with open(
                os.path.join(self.agent_folder, "HostingEnvironmentConfig.xml"), encoding="utf-8"
            ) as file:
                found = _ROLE.search(file.read())
        except (OSError, ValueError):
            return ""
        return found.group(1) if found else ""

    def memory_path(self) -> str:
        """Return where the last task is remembered: beside the extension, to survive its update or removal."""
        return os.path.join(self.agent_folder, self.name + ".memory.json")

    def turn(self) -> "Turn":
        """Return the right to run a backup, not yet taken."""
        return Turn(os.path.join(self.agent_folder, self.name + ".turn"))

    @staticmethod
    def _listed(folder: str, ending: str) -> "list[str]":
        return [
            name for name in os.listdir(folder) if name.endswith(ending) and name[: -len(ending)].isdigit()
        ]


class Turn:
    """The right to run a backup: one process at a time has it, and loses it when it ends, however it ends.

    A forked child shares it, so it is given back when both have closed it. Use as a context.
    """

    def __init__(self, path: str) -> None:
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def __enter__(self) -> "Turn":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def taken(self, *, wait: bool) -> bool:
        """Take the turn and return True; without `wait` return False when another process has it."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True


class Memory:
    """The last task on this machine and its final status; None while it runs."""

    def __init__(self, path: str, machine: str) -> None:
        """Read what is remembered. A memory of another machine, of which this one is a copy, is forgotten.

        An unknown machine, an empty string, is taken for the one remembered.
        """
        self._path = path
        self._machine = machine
        self.task = ""
        self.number = -1
        self.status = None  # type: object
        try:
            content = members(files.read_json(path))
        except (OSError, ValueError):
            return
        self._machine = machine or str(content.get("machine"))
        if content.get("machine") == self._machine:
            self.task = str(content.get("task"))
            self.number = int(str(content.get("number", -1)))
            self.status = content.get("status")

    def put(self, task: str, number: int, status: object) -> None:
        """Remember this task, durably."""
        self.task, self.number, self.status = task, number, status
        content = {"machine": self._machine, "task": task, "number": number, "status": status}
        files.write_json(self._path, content)
