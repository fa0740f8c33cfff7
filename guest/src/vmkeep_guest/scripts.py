"""The user's own scripts before and after the snapshot, which make a backup application-consistent.

They run as root, so their configuration and the scripts themselves must belong to root and nobody else.
"""

import configparser
import json
import os
import signal
import stat
import subprocess

from vmkeep_guest import codes
from vmkeep_guest.errors import BackupFailed
from vmkeep_guest.files import items, members

_CONFIG = "VMSnapshotScriptPluginConfig.json"
_OUTER_CONFIG = "VMSnapshotPluginHost.conf"
_MAX_TIMEOUT_S = 1800


class Stage:
    """Before or after the snapshot: each way in which a script can fail has a code of its own in each stage."""

    def __init__(self, name: str, failed: int) -> None:
        self.name = name
        self.failed = failed
        self.not_found = failed + 2
        self.permission = failed + 6
        self.timeout = failed + 8
        self.outer_timeout = failed + 10


PRE = Stage("pre", codes.PRE_SCRIPT_FAILED)
POST = Stage("post", codes.POST_SCRIPT_FAILED)


class Scripts:
    """The configured scripts. `run` each stage once."""

    def __init__(self, config: "dict[str, object]", outer_s: float, output_folder: str, owner: int) -> None:
        """Read the configuration. Raises KeyError, TypeError or ValueError when it does not make sense."""
        self._owner = owner
        self._output_folder = output_folder
        self._paths = {PRE: str(config["preScriptLocation"]), POST: str(config["postScriptLocation"])}
        self._parameters = {
            PRE: items(config.get("preScriptParams")),
            POST: items(config.get("postScriptParams")),
        }
        self._own_s = min(float(str(config["timeoutInSeconds"])), _MAX_TIMEOUT_S)
        self._outer_s = outer_s
        self.goes_on = config["continueBackupOnFailure"] is True
        """Whether a failing script lowers the consistency instead of failing the backup."""
        self.freezes = config.get("fsFreezeEnabled", True) is not False
        self.started = False
        """Whether the pre-script ran at all, so that there is something for the post-script to undo."""

    def run(self, stage: Stage) -> None:
        """Run one stage's script to its end. Raises BackupFailed with the stage's code.

        A script that takes too long is killed with all it started.
        """
        path = self._paths[stage]
        self._check(stage, path)
        command = ["sh", path] + [str(parameter) for parameter in self._parameters[stage]]
        self.started = True
        with open(os.path.join(self._output_folder, stage.name + "-script.log"), "wb") as output:
            process = subprocess.Popen(
                command,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            try:
                code = process.wait(min(self._own_s, self._outer_s))
            except subprocess.TimeoutExpired as error:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                raise self._too_slow(stage) from error
        if code != 0:
            raise BackupFailed(stage.failed, "the {}-script ended with code {}".format(stage.name, code))

    def _check(self, stage: Stage, path: str) -> None:
        try:
            facts = os.stat(path)
        except OSError as error:
            text = "the {}-script {} was not found".format(stage.name, path)
            raise BackupFailed(stage.not_found, text) from error
        if facts.st_uid != self._owner or facts.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            text = "the {}-script {} must belong to root and be closed to all others (mode 700)"
            raise BackupFailed(stage.permission, text.format(stage.name, path))

    def _too_slow(self, stage: Stage) -> BackupFailed:
        code = stage.timeout if self._own_s <= self._outer_s else stage.outer_timeout
        limit = min(self._own_s, self._outer_s)
        return BackupFailed(code, "the {}-script was stopped after {:.0f} s".format(stage.name, limit))


def find(output_folder: str, folder: str, owner: int) -> "Scripts | None":
    """Return the scripts configured in `folder`; None when there is no configuration, which is usual.

    Raises BackupFailed 304…318 when there is one that cannot be used.
    """
    path = os.path.join(folder, _CONFIG)
    if not os.path.exists(path):
        return None
    outer_s = _outer_limit(os.path.join(folder, _OUTER_CONFIG), owner)
    _check_private(path, owner, codes.CONFIG_OWNERSHIP, codes.CONFIG_PERMISSION)
    try:
        with open(path, encoding="utf-8") as file:
            return Scripts(members(json.load(file)), outer_s, output_folder, owner)
    except (OSError, ValueError, KeyError, TypeError) as error:
        text = "{} cannot be used: {!r}".format(path, error)
        raise BackupFailed(codes.CONFIG_UNREADABLE, text) from error


def _outer_limit(path: str, owner: int) -> float:
    """Return the time limit that the optional outer configuration sets for any script, in seconds."""
    if not os.path.exists(path):
        return _MAX_TIMEOUT_S
    _check_private(path, owner, codes.OUTER_CONFIG_OWNERSHIP, codes.OUTER_CONFIG_PERMISSION)
    parser = configparser.RawConfigParser()
    try:
        with open(path, encoding="utf-8") as file:
            parser.read_file(file)
        return min(parser.getfloat("pre_post", "timeoutInSeconds", fallback=_MAX_TIMEOUT_S), _MAX_TIMEOUT_S)
    except (OSError, ValueError, configparser.Error) as error:
        text = "{} cannot be used: {}".format(path, error)
        raise BackupFailed(codes.OUTER_CONFIG_UNREADABLE, text) from error


def _check_private(path: str, owner: int, ownership_code: int, permission_code: int) -> None:
    facts = os.stat(path)
    if facts.st_uid != owner:
        raise BackupFailed(ownership_code, "{} must belong to root".format(path))
    if facts.st_mode & (stat.S_IXUSR | stat.S_IRWXG | stat.S_IRWXO):
        raise BackupFailed(permission_code, "{} must have mode 600".format(path))
