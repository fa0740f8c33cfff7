"""Faults between the guest and the wire server."""

import subprocess

import libvirt

from tests.drills.drill import Drill, Remedy, Scene
from tests.drills.faults.steps import NO_AGENT, RESTART, SILENT_S, START, Step, agent, in_guest
from tests.lab.network import BRIDGE
from tests.lab.network import WIRE_SERVER as FABRIC

SNAPSHOT_CALL = "OUTPUT -p tcp -m string --algo bm --string recsvc/snapshot -j"
LEASES = "/var/lib/dhcp/dhclient*.leases"


def set_link(state: str) -> Step:
    """Return the step that plugs the guest's cable in or out."""

    def plug(scene: Scene) -> None:
        xml = scene.guest.domain.XMLDesc()
        interface = xml[xml.index("<interface") : xml.index("</interface>") + len("</interface>")]
        for known in ("up", "down"):
            interface = interface.replace(f"<link state='{known}'/>", "")
        wanted = interface.replace("</interface>", f"<link state='{state}'/></interface>")
        scene.guest.domain.updateDeviceFlags(wanted, libvirt.VIR_DOMAIN_AFFECT_LIVE)

    return plug


def detach(scene: Scene) -> None:
    """Take the network's way to the wire server away."""
    scene.service.ask("fabric", "detach", "vmkeep")


def attach(scene: Scene) -> None:
    """Give it back."""
    scene.service.ask("fabric", "attach", "vmkeep")


def on_host(*command: str) -> Step:
    """Return the step that runs a command on the host, which here is a network namespace of its own."""

    def run(_scene: Scene) -> None:
        subprocess.run(command, check=True)

    return run


class NetworkTool:
    """A tool of the host that takes the wire server's address away as often as the service puts it back."""

    def begin(self, _scene: Scene) -> None:
        loop = f"while :; do ip addr del {FABRIC}/32 dev lo 2>/dev/null; sleep 0.2; done"
        self._process = subprocess.Popen(["timeout", "300", "sh", "-c", loop])

    def end(self, _scene: Scene) -> None:
        """End it; the service finds the address gone at its next look."""
        self._process.terminate()
        self._process.wait()


NETWORK_TOOL = NetworkTool()


def host_filter(action: str) -> Step:
    """Return the step that puts a filter of the host before the wire server, or takes it away."""
    return on_host("iptables", action, "INPUT", "-i", BRIDGE, "-d", FABRIC, "-p", "tcp", "-j", "DROP")


DRILLS = (
    agent(
        "N1 no address",
        "N1",
        "ip addr flush dev $(ip -o route show default | awk '{print $5}' | head -n1)",
        RESTART,
        remedy=Remedy.APPLY,
    ),
    agent(
        "N1 interface down",
        "N1",
        "ip link set eth0 down",
        f"ip link set eth0 up; {RESTART}",
        remedy=Remedy.APPLY,
    ),
    agent(
        "N2 lease without option 245",
        "N2",
        f"kill $(cat /run/dhclient.eth0.pid); sed -i /unknown-245/d {LEASES}; "
        f"ip route del {FABRIC}/32; ip route del default; {RESTART}",
        f"systemctl restart networking; {RESTART}",
    ),
    agent(
        "N3 firewall drops",
        "N3",
        f"iptables -I OUTPUT -d {FABRIC} -j DROP",
        f"iptables -D OUTPUT -d {FABRIC} -j DROP",
    ),
    agent(
        "N3 firewall rejects",
        "N3",
        f"iptables -I OUTPUT -d {FABRIC} -j REJECT",
        f"iptables -D OUTPUT -d {FABRIC} -j REJECT",
    ),
    agent(
        "N3 blackhole route",
        "N3",
        f"ip route replace blackhole {FABRIC}/32",
        f"ip route del blackhole {FABRIC}/32; {RESTART}",
    ),
    agent(
        "N3 unreachable route",
        "N3",
        f"ip route replace unreachable {FABRIC}/32",
        f"ip route del unreachable {FABRIC}/32; systemctl restart networking; {RESTART}",
    ),
    agent(
        "N3 answers dropped",
        "N3",
        f"iptables -I INPUT -s {FABRIC} -j DROP",
        f"iptables -D INPUT -s {FABRIC} -j DROP",
    ),
    Drill(
        "N3 filter on the host", "N3", (NO_AGENT,), host_filter("-I"), host_filter("-D"), settles_s=SILENT_S
    ),
    Drill("N3 link down", "N3", (NO_AGENT,), set_link("down"), set_link("up"), settles_s=SILENT_S),
    Drill("N3 network detached", "N3", (NO_AGENT,), detach, attach, settles_s=SILENT_S),
    Drill(
        "N5 wire server's address gone",
        "N5",
        (NO_AGENT,),
        NETWORK_TOOL.begin,
        NETWORK_TOOL.end,
        settles_s=SILENT_S,
    ),
    Drill(
        "N4 snapshot call refused",
        "N4",
        ("ExtensionSnapshotFailedNoNetwork",),
        in_guest(f"iptables -I {SNAPSHOT_CALL} REJECT --reject-with tcp-reset"),
        in_guest(f"iptables -D {SNAPSHOT_CALL} REJECT --reject-with tcp-reset"),
    ),
    Drill(
        "N4 snapshot call dropped",
        "N4",
        ("ExtensionSnapshotFailedNoNetwork",),
        in_guest(f"iptables -I {SNAPSHOT_CALL} DROP"),
        in_guest(f"iptables -D {SNAPSHOT_CALL} DROP"),
    ),
    agent(
        "A2 and N3 at once",
        "N3",
        f"systemctl stop walinuxagent; iptables -I OUTPUT -d {FABRIC} -j DROP",
        f"iptables -D OUTPUT -d {FABRIC} -j DROP; {START}",
    ),
)
