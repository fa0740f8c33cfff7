"""Healthy guests under load, or set up in unusual ways: nothing may be proven of them."""

from tests.drills.drill import Drill, Scene
from tests.drills.faults.steps import RESTART, Step, in_background, in_guest
from tests.journeys.conftest import wait_for_agent
from tests.lab.network import WIRE_SERVER


def healthy(name: str, inject: Step) -> Drill:
    """Return a drill in which nothing is wrong."""
    return Drill(f"healthy {name}", "", (), inject)


def busy(name: str, script: str) -> Drill:
    """Return a drill with a load that lasts longer than the backup."""
    return healthy(f"busy {name}", in_background(f'timeout 120 sh -c "while :; do {script}; done"'))


def restart_agent(scene: Scene) -> None:
    """Restart the agent and wait until it is heard."""
    scene.sh(RESTART)
    wait_for_agent(scene.service, scene.guest)


def back_up_twice(scene: Scene) -> None:
    """Back up twice, one after the other."""
    for _ in range(2):
        scene.service.backup_now(scene.guest.name)


DRILLS = (
    healthy("at rest", in_guest("true")),
    busy("CPU", ":"),
    busy("disk", "dd if=/dev/zero of=/data/x bs=1M count=50 conv=fsync"),
    busy("with small files", "cp -r /etc /data/e; rm -r /data/e"),
    busy("memory", "timeout 10 tail -c 200M /dev/zero"),
    busy("with processes", "for n in 1 2 3 4 5 6 7 8; do true | true | true; done"),
    busy("with the journal", "logger -t load hello"),
    healthy("agent just restarted", restart_agent),
    healthy("third backup in a row", back_up_twice),
    healthy("clock an hour wrong", in_guest("timedatectl set-ntp false || true; date -s '+1 hour'")),
    healthy(
        "root nearly full",
        in_guest("fallocate -l $(($(df -Pk / | awk 'NR==2{print $4}') - 60000))k /fill; sync"),
    ),
    healthy(
        "firewall with a way through",
        in_guest(
            f"iptables -A OUTPUT -d {WIRE_SERVER} -j ACCEPT; iptables -A OUTPUT -p tcp --dport 443 -j DROP"
        ),
    ),
    healthy("agent's log verbose", in_guest(f"echo Logs.Verbose=y >>/etc/waagent.conf; {RESTART}")),
)
