"""One drill for each code that a fault of one guest can bring about: code, cause, remedy, all on the same guest.

The limit of restore points and the key vault's codes are proven in the journeys that bring them about anyhow.
"""

from collections.abc import Iterator

import pytest

from tests.drills.drill import Scene
from tests.drills.faults import DRILLS
from tests.drills.running import run_drill, scene_of
from tests.lab.lab import Lab

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900)]
BY_NAME = {drill.name: drill for drill in DRILLS}
CHOSEN = {
    "UserErrorUnsupportedDiskSize": "D1 disk of 5 TB",
    "UserErrorBackupOperationInProgress": "J1 another backup runs",
    "ExtensionSnapshotFailedNoNetwork": "N4 snapshot call refused",
    "ExtensionOperationFailedForManagedDisks": "X1 manifest emptied",
    "GuestAgentSnapshotTaskStatusError": "X1 extension hangs",
    "UserErrorGuestAgentStatusUnavailable": "A2 disabled",
}


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    """One guest for all: each drill leaves it healthy, or fails."""
    with scene_of(Lab()) as scene:
        yield scene


@pytest.mark.parametrize(("code", "name"), CHOSEN.items(), ids=CHOSEN)
def test_code_is_followed_by_the_proof_of_its_cause_and_a_remedy_that_works(
    scene: Scene, code: str, name: str
) -> None:
    outcome = run_drill(BY_NAME[name], scene)
    assert (outcome.code, outcome.proven, outcome.healed) == (code, BY_NAME[name].cause, True), outcome
