"""libvirt and the kernel tell what a real guest's CPUs have had."""

import pytest

from tests.lab.guest import Guest
from vmkeep.fabric.pressure import read_cpu_time

pytestmark = pytest.mark.qemu


def test_cpu_time_of_a_guest_at_work_grows(guest: Guest) -> None:
    before = read_cpu_time(guest.domain)
    guest.run("sha256sum", "/usr/sbin/qemu-ga")
    after = read_cpu_time(guest.domain)
    assert before is not None
    assert after is not None
    assert after.ran > before.ran
    assert after.waited > before.waited
