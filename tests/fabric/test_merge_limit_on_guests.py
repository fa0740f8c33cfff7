"""A merge with a limit ends although the guest writes faster than that."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from tests.fabric.on_guests import capture, merge
from tests.lab.guest import Guest
from vmkeep.base.clock import SystemClock
from vmkeep.fabric.fabric import Fabric

pytestmark = pytest.mark.qemu

BUSY = """
import os
file, number = os.open("/data/busy", os.O_RDWR | os.O_CREAT), 0
os.posix_fallocate(file, 0, 48 << 20)
while not os.path.exists("/run/busy-stop"):
    os.pwrite(file, os.urandom(1 << 20), number % 48 << 20)
    os.fdatasync(file)
    number += 1
"""


def test_merge_of_the_active_layer_catches_up_with_a_guest_that_writes_faster(
    guest_on_qcow2: Guest, tmp_path: Path
) -> None:
    guest, before = guest_on_qcow2, dict(guest_on_qcow2.disks)
    fabric = Fabric(state_dir=tmp_path, clock=SystemClock(), wire=None, merge_mib_s=8)
    point = capture(fabric, guest.uuid, "p1")
    busy = guest.start(["python3", "-c", BUSY])
    guest.wait_for(lambda: guest.exec(["test", "-s", "/data/busy"]).rc == 0, "it writes")
    with capture_logs() as logs:
        merge(fabric, point)
    guest.run("touch", "/run/busy-stop")
    assert guest.wait_for(lambda: guest.ended(busy), "it has stopped").rc == 0
    assert guest.disks == before
    assert "fabric.merge.faster" in {entry["event"] for entry in logs}
