"""Real guests for tests marked `qemu`: lab → guest → guest_pair. See docs/lab.md."""

from collections.abc import Iterator, Sequence

import pytest

from tests.lab.errors import NotInLab
from tests.lab.guest import Guest
from tests.lab.lab import Lab
from tests.lab.namespace import scratch
from vmkeep.model.machine import DiskFormat

EMULATION_LIMIT_S = 300
"""Time limit of a test on a real guest: CPUs are emulated, and the first one may have to boot `beta`."""


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Give tests on real guests the time that emulation takes."""
    for item in items:
        if item.get_closest_marker("qemu") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(EMULATION_LIMIT_S))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail tests marked `qemu` outside of the lab, and say how to run them."""
    if item.get_closest_marker("qemu"):
        try:
            scratch()
        except NotInLab:
            where = item.nodeid
            pytest.fail(f"needs a real guest; run: scripts/lab .venv/bin/pytest '{where}'", pytrace=False)


@pytest.fixture(scope="session")
def lab_session() -> Lab:
    """The lab that this test session runs in."""
    return Lab()


@pytest.fixture
def lab(lab_session: Lab) -> Iterator[Lab]:
    """A lab without VMs and networks; those that a test leaves are removed after it."""
    yield lab_session
    lab_session.clear()


@pytest.fixture
def guest(lab: Lab) -> Guest:
    """A running Debian guest with a ready Azure agent: OS disk in qcow2, data disk raw, both fresh."""
    return lab.restore_guest()


@pytest.fixture
def guest_on_qcow2(lab: Lab) -> Guest:
    """Like `guest`, with the data disk in qcow2 over a raw base."""
    return lab.restore_guest(data_disk=DiskFormat.QCOW2)


@pytest.fixture
def guest_pair(lab: Lab) -> tuple[Guest, Guest]:
    """Two guests, alpha and beta, side by side on one network."""
    return lab.restore_guest("alpha"), lab.restore_guest("beta")
