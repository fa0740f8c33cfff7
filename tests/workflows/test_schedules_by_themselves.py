"""A service that is left alone backs up what is due, also after a restart."""

from datetime import timedelta
from pathlib import Path

import pytest

from tests.workflows.test_scheduler import daily_at
from tests.workflows.world import World
from vmkeep.base.clock import FakeClock
from vmkeep.model.job import JobStatus
from vmkeep.model.protection import Policy


@pytest.mark.slow
def test_backups_run_by_themselves_and_a_missed_one_after_the_restart(tmp_path: Path) -> None:
    clock = FakeClock()
    world = World.open(tmp_path, clock)
    world.engine.launch(schedules=True)
    item = world.protect()
    world.catalog.put_policy(Policy(item.vault_id, item.policy_name, daily_at(2)))
    assert (
        world.catalog.find_looked_until() == clock.now()
    )  # a service killed in its first minute misses nothing
    clock.advance(timedelta(hours=3).total_seconds())
    world.wait_until(lambda: len(world.points(item)) == 1)
    world.close()
    clock.advance(timedelta(days=3).total_seconds())
    world = World.open(tmp_path, clock)
    world.engine.launch(schedules=True)
    world.wait_until(lambda: len(world.points(item)) == 2)
    for job in world.catalog.list_jobs(item_id=item.id):
        assert world.ended(job).status is JobStatus.COMPLETED
    world.close()
