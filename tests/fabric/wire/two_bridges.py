"""Two bridges with the same addresses and one guest each, in a network namespace of their own.

Run as `unshare --net python -m tests.fabric.wire.two_bridges STATE PACKAGE`; exits 0 when each guest is served as itself.
"""

import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from tests.fabric.wire.guest_actor import identity
from vmkeep.base.clock import SystemClock
from vmkeep.fabric.wire.identity import GuestIdentity
from vmkeep.fabric.wire.server import WireServer

GUEST_IP = "10.9.0.58"
BRIDGES = {"br0": identity(2), "br1": identity(3)}
ASK = (
    "import sys, http.client as h\n"
    "for host, port, path in (('168.63.129.16', 80, '/machine/?comp=goalstate'),\n"
    "  ('168.63.129.16', 32526, '/health'), ('169.254.169.254', 80, '/metadata/instance/compute')):\n"
    "  c = h.HTTPConnection(host, port, timeout=10); c.request('GET', path); r = c.getresponse()\n"
    "  assert r.status == 200, (path, r.status); answer = r.read().decode()\n"
    "print(answer)\n"
)


class BridgeLocator:
    """Both guests have the same IP; the bridge tells them apart."""

    def locate(self, bridge: str, ip: str) -> GuestIdentity | None:
        return BRIDGES[bridge] if ip == GUEST_IP else None


def ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True)


def make_bridge(bridge: str) -> None:
    ip("link", "add", bridge, "type", "bridge")
    ip("addr", "add", "10.9.0.1/24", "dev", bridge)
    ip("link", "set", bridge, "up")


def plug_in(bridge: str, guest: subprocess.Popen[str]) -> None:
    """Give the namespace of `guest` a cable to `bridge`."""
    ip("link", "add", f"{bridge}-tap", "type", "veth", "peer", "name", "eth0", "netns", str(guest.pid))
    ip("link", "set", f"{bridge}-tap", "master", bridge, "up")
    inside = ["nsenter", "--net", "--target", str(guest.pid), "ip"]
    subprocess.run([*inside, "addr", "add", f"{GUEST_IP}/24", "dev", "eth0"], check=True)
    subprocess.run([*inside, "link", "set", "eth0", "up"], check=True)
    subprocess.run([*inside, "route", "add", "default", "via", "10.9.0.1"], check=True)


def put_addresses(bridge: str) -> None:
    for address in ("168.63.129.16/32", "169.254.169.254/32"):
        ip("addr", "add", address, "dev", bridge)


def start_guest(running: ExitStack) -> subprocess.Popen[str]:
    """Start a network namespace that ends when its input does."""
    guest = running.enter_context(
        subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo up; read end"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
    )
    assert guest.stdout is not None
    assert guest.stdout.readline() == "up\n"
    return guest


def answer_seen_by(guest: subprocess.Popen[str]) -> str:
    inside = ["nsenter", "--net", "--target", str(guest.pid), sys.executable, "-c", ASK]
    return subprocess.run(inside, check=True, capture_output=True, text=True).stdout


def main(state: Path, package: Path) -> None:
    server = WireServer(state_dir=state, locator=BridgeLocator(), clock=SystemClock(), package=package)
    with ExitStack() as running:
        guests = {bridge: start_guest(running) for bridge in BRIDGES}
        server.start()
        running.callback(server.stop)
        for bridge, guest in guests.items():
            make_bridge(bridge)
            server.listen(bridge)
            put_addresses(bridge)
            plug_in(bridge, guest)
            server.listen(bridge)
        for bridge, guest in guests.items():
            assert BRIDGES[bridge].role_guid in answer_seen_by(guest)
        ip("link", "del", "br1")
        make_bridge("br1")
        put_addresses("br1")
        ip("link", "set", "br1-tap", "master", "br1")
        server.listen("br1")
        assert BRIDGES["br1"].role_guid in answer_seen_by(guests["br1"])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
