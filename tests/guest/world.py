"""A guest as the extension finds it: what the agent lays out, and a host that answers."""

import base64
import json
import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any  # what tests read out of JSON

from vmkeep_guest.command import Enable, Places
from vmkeep_guest.freezer import Freezer
from vmkeep_guest.handler import Handler
from vmkeep_guest.holder import FIFREEZE
from vmkeep_guest.mounts import Mount

THUMBPRINT = "0123456789ABCDEF0123456789ABCDEF01234567"
GOOD_DISK = {
    "isSuccessful": "true",
    "snapshotUri": "https://host/a",
    "errorMessage": None,
    "statusCode": "200",
}
BAD_DISK = {"isSuccessful": False, "snapshotUri": None, "errorMessage": "disk is full", "statusCode": "500"}


@dataclass
class FakeHost:
    """The host's snapshot service. `answers` maps a call to HTTP status and body, none being no answer; `asked` keeps what came."""

    address: str = ""
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    answers: dict[str, tuple[int, object]] = field(default_factory=dict)
    on_call: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        self.answers = {
            "presnapshot": (200, {"result": "Success"}),
            "dosnapshot": (200, {"snapshotInfo": [GOOD_DISK]}),
            "postsnapshot": (404, {}),
        }

    def calls(self) -> list[str]:
        return [name for name, _ in self.asked]

    def last(self, call: str) -> dict[str, Any]:
        return [body for name, body in self.asked if name == call][-1]


@dataclass
class Guest:
    """What the agent made of our package: its own folder and ours in it."""

    agent: Path
    extension: Path
    azure: Path

    @property
    def log(self) -> str:
        return (self.extension / "log" / "extension.log").read_text()

    def write_settings(self, number: int, public: object, protected: object = None) -> None:
        handler = {"publicSettings": public, "protectedSettings": None}
        if protected is not None:
            handler |= {
                "protectedSettings": self._seal(protected),
                "protectedSettingsCertThumbprint": THUMBPRINT,
            }
        settings = {"runtimeSettings": [{"handlerSettings": handler}]}
        (self.extension / "config" / f"{number}.settings").write_text(json.dumps(settings))

    def _seal(self, content: object) -> str:
        command = ["openssl", "cms", "-encrypt", "-binary", "-outform", "DER", "-aes256"]
        sealed = subprocess.run(
            [*command, self.agent / f"{THUMBPRINT}.crt"],
            input=json.dumps(content).encode(),
            check=True,
            capture_output=True,
        )
        return base64.b64encode(sealed.stdout).decode()

    def write_identity(self, guid: str) -> None:
        text = f'<HostingEnvironmentConfig><Role guid="{guid}" name="_vm"/></HostingEnvironmentConfig>'
        (self.agent / "HostingEnvironmentConfig.xml").write_text(text)

    def has_status(self, number: int) -> bool:
        return (self.extension / "status" / f"{number}.status").exists()

    def status(self, number: int) -> dict[str, Any]:
        content = json.loads((self.extension / "status" / f"{number}.status").read_text())
        status: dict[str, Any] = content[0]["status"]
        return status

    def report(self, number: int) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.status(number)["substatus"][0]["name"])[0]["status"]
        return report

    def telemetry(self, number: int) -> dict[str, str]:
        return {pair["Key"]: pair["Value"] for pair in self.report(number)["telemetryData"]}


def public_settings(task: str = "task-1", *, details: object = None, **more: object) -> dict[str, object]:
    """Settings as the host sends them for a backup of all disks."""
    usual = {"backupMetadata": [{"Key": "k", "Value": "v"}], "snapshotTaskToken": "secret-token"}
    settings: dict[str, object] = {
        "commandToExecute": "snapshot",
        "vmType": "microsoft.compute/virtualmachines",
        "taskId": task,
        "objectStr": base64.b64encode(json.dumps(details or usual).encode()).decode(),
        "locale": "en-us",
        "commandStartTimeUTCTicks": "",
        "customSettings": json.dumps({"takeSnapshotFrom": "onlyHost", "isManagedVm": True}),
    }
    return settings | more


class Kernel:
    """Counts freezes and thaws in a file that every process can add to."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "kernel"
        self.path.touch()
        self.refusal = 0

    def ioctl(self, _descriptor: int, request: int, _argument: int) -> int:
        if self.refusal:
            raise OSError(self.refusal, os.strerror(self.refusal))
        with self.path.open("a") as file:
            file.write("F" if request == FIFREEZE else "T")
        return 0

    @property
    def trace(self) -> str:
        return self.path.read_text()


def enable(guest: Guest, number: int, kernel: Kernel | None = None) -> None:
    """Obey `enable`; with a kernel the guest has one file system, mounted at its `azure` folder."""
    device = guest.azure.stat().st_dev
    line = f"30 1 {os.major(device)}:{os.minor(device)} / {guest.azure} rw - ext4 /dev/vdb rw"
    if kernel:
        enable_on(guest, number, line, partial(Freezer, ioctl=kernel.ioctl))
    else:
        enable_on(guest, number, "")


def enable_on(
    guest: Guest,
    number: int,
    mounted: str,
    freezer: Callable[[list[Mount], float, float], Freezer] = Freezer,
) -> None:
    """Obey `enable` in a guest with these lines of mountinfo."""
    mountinfo = guest.agent / "mountinfo"
    mountinfo.write_text(mounted)
    places = Places(str(guest.azure), str(mountinfo), os.getuid())
    Enable(Handler(str(guest.extension)), number, places, freezer).run()
