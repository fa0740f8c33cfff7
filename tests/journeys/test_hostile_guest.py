"""A guest that attacks the wire server with all it has keeps no other guest from its backup."""

import json
from pathlib import Path

import psutil
import pytest

from tests.fabric.wire import attacker
from tests.journeys.conftest import wait_for_agent
from tests.journeys.service import RunningService
from tests.lab.guest import Guest
from tests.lab.network import WIRE_SERVER
from vmkeep.base.units import MIB

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900)]
ATTACK_S = 15
MOST_MORE_MEMORY = 256 * MIB
"""For a whole first backup, which takes up to 190 MiB by itself, and the attack together."""


def container_of(service: RunningService, guest: Guest) -> str:
    """Return what a guest is called on the wire; its neighbours are not told."""
    return str(
        json.loads((service.state_dir / "wire" / guest.uuid / "agent.json").read_text())["container_id"]
    )


def test_guest_is_backed_up_while_its_neighbour_attacks_and_the_attacker_afterwards(
    service: RunningService, guest_pair: tuple[Guest, Guest]
) -> None:
    hostile, neighbour = guest_pair
    service.ask("vault", "create", "main")
    for guest in guest_pair:
        service.ask("protection", "enable-for-vm", "--vm", guest.name)
        wait_for_agent(service, guest)
    assert service.process is not None
    process = psutil.Process(service.process.pid)
    before = most = process.memory_info().rss

    hostile.write_file("/root/attacker.py", Path(attacker.__file__).read_bytes())
    where = (hostile.ip, WIRE_SERVER, "80", "32526", str(ATTACK_S), container_of(service, neighbour))
    attack = hostile.start(["python3", "/root/attacker.py", *where])
    job = service.backup_now(neighbour.name, "--no-wait")
    while (ended := hostile.ended(attack)) is None:
        most = max(most, process.memory_info().rss)
    job = service.job("job", "wait", job.id)
    assert (job.status, job.warnings) == ("Completed", []), job.json
    assert ended.rc == 0, ended
    assert most - before < MOST_MORE_MEMORY

    wait_for_agent(service, hostile)
    assert service.backup_now(hostile.name).status == "Completed"
    assert service.findings() == []
