"""A handle on a running guest: commands and files through qemu-guest-agent, life cycle through libvirt."""

import base64
import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import libvirt
import libvirt_qemu

from tests.lab.errors import LabCommandFailed
from tests.lab.machine import disk_files, mac_address
from tests.lab.tools import CLOCK, last_lines, wait_for
from vmkeep.base.units import KIB

T = TypeVar("T")
COMMAND_LIMIT_S = 60
BOOT_LIMIT_S = 180
PART_BYTES = 32 * KIB
"""What passes qemu-guest-agent's channel in one message."""
RENEW_LEASE = """
ip neigh flush dev eth0
kill $(cat /run/dhclient.eth0.pid)
exec dhclient -4 -pf /run/dhclient.eth0.pid -lf /var/lib/dhcp/dhclient.eth0.leases eth0
"""
WRITER = """
import json, os, sys, time
path, started, stop = sys.argv[1:]
file = os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
writes, longest, last = 0, 0.0, time.monotonic()
while not os.path.exists(stop):
    os.pwrite(file, b"%d" % writes, 0)
    os.fsync(file)
    now = time.monotonic()
    writes, longest, last = writes + 1, max(longest, now - last), now
    if writes == 1:
        open(started, "w").close()
    time.sleep(0.02)
os.unlink(started), os.unlink(stop), os.unlink(path)
print(json.dumps([writes, longest]))
"""


@dataclass(frozen=True)
class Result:
    """How a command in the guest ended."""

    rc: int
    out_bytes: bytes
    err_bytes: bytes

    @property
    def out(self) -> str:
        """What the command printed, as text."""
        return self.out_bytes.decode(errors="replace")

    @property
    def err(self) -> str:
        """What the command complained about, as text."""
        return self.err_bytes.decode(errors="replace")


@dataclass
class Writes:
    """What a writer in the guest saw; filled in when it has stopped."""

    count: int = 0
    longest_gap_s: float = 0.0
    """Longest time between the ends of two writes, 20 ms of it on purpose."""


class Guest:
    """A VM with qemu-guest-agent in it."""

    def __init__(self, domain: libvirt.virDomain) -> None:
        self.domain = domain
        self.name: str = domain.name()
        self.uuid: str = domain.UUIDString()

    @property
    def mac(self) -> str:
        """MAC address of the first network interface."""
        return mac_address(self.domain.XMLDesc(0))

    @property
    def ip(self) -> str:
        """First IPv4 address that the guest itself has on that interface."""
        first: str = next(
            address["ip-address"]
            for interface in self.ask_agent("guest-network-get-interfaces")
            if interface.get("hardware-address") == self.mac
            for address in interface["ip-addresses"]
            if address["ip-address-type"] == "ipv4"
        )
        return first

    @property
    def pid(self) -> int:
        """Process id of the VM's QEMU."""
        return int(Path(f"/run/libvirt/qemu/{self.name}.pid").read_text())

    @property
    def disks(self) -> dict[str, Path]:
        """The file of each disk's active layer, by target device."""
        return disk_files(self.domain.XMLDesc(0))

    def ask_agent(
        self, command: str, arguments: Mapping[str, object] | None = None, *, limit_s: int = 10
    ) -> Any:  # the answer is JSON, another shape for each command
        """Ask qemu-guest-agent, return its answer; `libvirtError` when it refuses or is silent for `limit_s`."""
        question = json.dumps({"execute": command, "arguments": arguments or {}})
        return json.loads(libvirt_qemu.qemuAgentCommand(self.domain, question, limit_s, 0))["return"]

    def answers(self) -> bool:
        """Whether qemu-guest-agent answers."""
        with suppress(libvirt.libvirtError):
            self.ask_agent("guest-ping", limit_s=2)
            return True
        return False

    def wait_until_up(self) -> None:
        """Return when qemu-guest-agent answers."""
        wait_for(self.answers, f"{self.name}: qemu-guest-agent answers", limit_s=BOOT_LIMIT_S)

    def wait_for(self, look: Callable[[], T | None], what: str, *, limit_s: float = 60) -> T:
        """Return the first true thing that `look` returns."""
        return wait_for(look, f"{self.name}: {what}", limit_s=limit_s)

    def start(self, command: Sequence[str], *, text: bytes = b"") -> int:
        """Start a command in the guest, return its process id there."""
        path, *arg = command
        arguments = {"path": path, "arg": arg, "capture-output": True}
        if text:
            arguments["input-data"] = base64.b64encode(text).decode()
        return int(self.ask_agent("guest-exec", arguments)["pid"])

    def ended(self, pid: int) -> Result | None:
        """Return how a started command ended, or nothing while it runs."""
        status = self.ask_agent("guest-exec-status", {"pid": pid})
        if not status["exited"]:
            return None
        out, err = (base64.b64decode(status.get(key, "")) for key in ("out-data", "err-data"))
        return Result(status.get("exitcode", 128 + status.get("signal", 0)), out, err)

    def exec(self, command: Sequence[str], *, text: bytes = b"", limit_s: float = COMMAND_LIMIT_S) -> Result:
        """Run a command in the guest with `text` as its input, return how it ended."""
        pid = self.start(command, text=text)
        return self.wait_for(lambda: self.ended(pid), shlex.join(command), limit_s=limit_s)

    def run(self, *command: str, text: bytes = b"", limit_s: float = COMMAND_LIMIT_S) -> str:
        """Run a command in the guest, return what it printed; `LabCommandFailed` when it ends with an error."""
        result = self.exec(command, text=text, limit_s=limit_s)
        if result.rc:
            raise LabCommandFailed(
                f"{self.name}: {shlex.join(command)}", result.rc, last_lines(result.out + result.err)
            )
        return result.out

    def read_file(self, path: str) -> bytes:
        """Return the content of a file in the guest."""
        handle = self.ask_agent("guest-file-open", {"path": path, "mode": "r"})
        content, ended = b"", False
        while not ended:
            part = self.ask_agent("guest-file-read", {"handle": handle, "count": PART_BYTES})
            content, ended = content + base64.b64decode(part["buf-b64"]), part["eof"]
        self.ask_agent("guest-file-close", {"handle": handle})
        return content

    def write_file(self, path: str, content: bytes) -> None:
        """Put a file into the guest, on its disk when this returns."""
        handle = self.ask_agent("guest-file-open", {"path": path, "mode": "w"})
        for start in range(0, len(content), PART_BYTES):
            part = base64.b64encode(content[start : start + PART_BYTES]).decode()
            self.ask_agent("guest-file-write", {"handle": handle, "buf-b64": part})
        self.ask_agent("guest-file-close", {"handle": handle})
        self.run("sync", path)

    def digest(self, path: str) -> str:
        """Return the SHA-256 of a file or disk in the guest, as hex."""
        return self.run("sha256sum", path).split()[0]

    @contextmanager
    def writer(self, path: str = "/data/writer") -> Iterator[Writes]:
        """Write and sync `path` every 20 ms; the gaps between writes show how long file systems were frozen."""
        seen = Writes()
        started, stop = "/run/lab-writer-started", "/run/lab-writer-stop"
        pid = self.start(["python3", "-c", WRITER, path, started, stop])
        self.wait_for(lambda: self.exec(["test", "-e", started]).rc == 0, "the writer has started")
        try:
            yield seen
        finally:
            self.run("touch", stop)
            result = self.wait_for(lambda: self.ended(pid), "the writer has stopped")
        seen.count, seen.longest_gap_s = json.loads(result.out)

    def pause(self) -> None:
        """Stop the guest's CPUs."""
        self.domain.suspend()

    def resume(self) -> None:
        """Let the guest's CPUs go on."""
        self.domain.resume()

    def power_off(self) -> None:
        """Pull the plug."""
        self.domain.destroy()

    def boot(self) -> None:
        """Start the VM from its disks; returns when qemu-guest-agent answers."""
        self.domain.create()
        self.wait_until_up()

    def wake_up(self) -> None:
        """Tell a guest restored from memory what has changed meanwhile: the time, and its network's other end."""
        self.wait_until_up()
        self.ask_agent("guest-set-time", {"time": int(CLOCK.now().timestamp() * 1e9)})
        self.run("sh", "-c", RENEW_LEASE)
