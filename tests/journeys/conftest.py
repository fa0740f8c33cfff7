"""Journeys: the service as its users meet it, on real guests."""

from collections.abc import Iterator

import pytest

from tests.journeys.service import RunningService
from tests.lab.guest import Guest
from tests.lab.lab import Lab


@pytest.fixture
def service(lab: Lab) -> Iterator[RunningService]:
    """`vmkeep up`, running."""
    service = RunningService(lab.new_folder("service") / "state")
    service.start()
    yield service
    service.stop()


@pytest.fixture
def protected(service: RunningService, guest: Guest) -> RunningService:
    """The service, with vault `main` and the guest protected in it, its agent heard."""
    service.ask("vault", "create", "main")
    service.ask("protection", "enable-for-vm", "--vm", guest.name)
    wait_for_agent(service, guest)
    return service


def wait_for_agent(service: RunningService, guest: Guest) -> None:
    """Return when the service hears the guest's Azure agent."""
    agent = lambda: service.ask("vm", "show", guest.name)["properties"]["vmkeep"]["agent"] == "ready"  # noqa: E731
    guest.wait_for(agent, "its agent is ready")
