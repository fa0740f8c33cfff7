"""What the host asks for: the settings that the agent hands us, read into a `Task`."""

import binascii
import json
import os
import subprocess

from vmkeep_guest import clock, codes
from vmkeep_guest.errors import BackupFailed
from vmkeep_guest.files import items, members

_OPENSSL_S = 10
_OS_DISK = -1


class Task:
    """One backup as the host asked for it."""

    def __init__(self, public: "dict[str, object]", protected: "dict[str, object]") -> None:
        """Read the settings; the protected ones stand in for public ones that are absent. Raises BackupFailed 11 or 17."""
        self._public = public
        self._protected = protected
        self._custom = members(_json_text(self._either("customSettings")))
        details = _details(public.get("objectStr"))
        disks = members(details.get("includedDisks"))
        self.command = str(public.get("commandToExecute") or "").lower()
        self.id = str(public.get("taskId") or "")
        self.host_id = str(self._custom.get("backupTaskId") or self.id)
        self.token = str(details.get("snapshotTaskToken") or self._either("snapshotTaskToken") or "")
        self.started_ticks = str(public.get("commandStartTimeUTCTicks") or "")
        self.crash_allowed = self._custom.get("canTakeCrashConsistentSnapshot") is True
        self.metadata = items(details.get("backupMetadata"))
        self.host_settings = items(details.get("dynamicConfigsFromCRP"))
        self.instant_minutes = disks.get("instantAccessDurationMinutes")
        self.disk_ids = [lun for lun in items(disks.get("dataDiskLunList")) if isinstance(lun, int)]
        if disks.get("isOSDiskIncluded") is True:
            self.disk_ids.append(_OS_DISK)
        self._check(disks)

    @property
    def is_install(self) -> bool:
        """Whether the host only wants the extension in place."""
        return "install" in self.command and "snapshot" not in self.command

    @property
    def started(self) -> "float | None":
        """When the host started the command, in seconds since 1970; None when it does not tell."""
        return clock.from_ticks(int(self.started_ticks)) if self.started_ticks.isdigit() else None

    def _either(self, name: str) -> object:
        return self._public.get(name) or self._protected.get(name)

    def _check(self, disks: "dict[str, object]") -> None:
        if "snapshot" not in self.command and not self.is_install:
            raise BackupFailed(codes.BAD_PARAMETER, "unknown command {!r}".format(self.command))
        if self.is_install:
            return
        if not self._public.get("objectStr"):
            raise BackupFailed(codes.BAD_PARAMETER, "the settings lack objectStr")
        if self._custom.get("takeSnapshotFrom") == "onlyGuest":
            raise BackupFailed(codes.BAD_PARAMETER, "snapshots from within the guest are not supported")
        if disks.get("isAnyDiskExcluded") is True and not self.disk_ids:
            raise BackupFailed(codes.NO_DISK_CHOSEN, "disks are to be excluded, but none is left to back up")


def read(path: str, key_folder: str) -> Task:
    """Return the task in the settings file at `path`; keys are looked for in `key_folder`.

    Protected settings may be absent, null or empty. Raises BackupFailed 16 when no settings can be read at all,
    11 when they make no sense.
    """
    try:
        with open(path, encoding="utf-8") as file:
            handler = members(json.load(file)["runtimeSettings"][0]["handlerSettings"])
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise BackupFailed(codes.NO_SETTINGS, "the settings cannot be read: {}".format(error)) from error
    public = members(handler.get("publicSettings"))
    sealed = handler.get("protectedSettings")
    protected = {}  # type: dict[str, object]
    if sealed:
        try:
            protected = _open(str(sealed), str(handler.get("protectedSettingsCertThumbprint")), key_folder)
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            if not public:
                text = "the protected settings cannot be decrypted: {}".format(error)
                raise BackupFailed(codes.NO_SETTINGS, text) from error
    if not public and not protected:
        raise BackupFailed(codes.NO_SETTINGS, "the settings are empty")
    return Task(public or protected, protected)


def _open(sealed: str, thumbprint: str, key_folder: str) -> "dict[str, object]":
    """Decrypt protected settings with the key that the agent keeps for `thumbprint`."""
    if not thumbprint.isalnum():
        raise ValueError("bad certificate thumbprint {!r}".format(thumbprint))
    key = os.path.join(key_folder, thumbprint)
    content = binascii.a2b_base64(sealed)
    for tool in ("cms", "smime"):
        command = [
            "openssl",
            tool,
            "-decrypt",
            "-inform",
            "DER",
            "-recip",
            key + ".crt",
            "-inkey",
            key + ".prv",
        ]
        done = subprocess.run(
            command,
            check=False,
            input=content,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=_OPENSSL_S,
        )
        if done.returncode == 0:
            return members(json.loads(done.stdout.decode("utf-8")))
    raise ValueError("openssl: " + done.stderr.decode("utf-8", "replace").strip()[:300])


def _details(encoded: object) -> "dict[str, object]":
    """Read objectStr: JSON in base64. Raises BackupFailed 11 when it is something else."""
    if not encoded:
        return {}
    try:
        return members(json.loads(binascii.a2b_base64(str(encoded)).decode("utf-8")))
    except ValueError as error:
        raise BackupFailed(codes.BAD_PARAMETER, "objectStr cannot be read: {}".format(error)) from error


def _json_text(text: object) -> object:
    try:
        return json.loads(str(text)) if text else {}
    except ValueError as error:
        raise BackupFailed(codes.BAD_PARAMETER, "customSettings cannot be read: {}".format(error)) from error
