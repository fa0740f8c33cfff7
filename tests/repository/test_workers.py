from collections.abc import Iterator

import pytest

from vmkeep.repository.workers import Task, run_all


class Oops(Exception):
    pass


def fail() -> None:
    raise Oops


def nothing() -> None:
    pass


def test_all_tasks_are_run() -> None:
    done: list[int] = []
    run_all((lambda n=n: done.append(n) for n in range(500)), nothing)  # type: ignore[misc]
    assert sorted(done) == list(range(500))


@pytest.mark.parametrize("position", [0, 1, 50, 499])
def test_first_failure_of_a_task_stops_the_rest_and_is_raised(position: int) -> None:
    done: list[int] = []

    def tasks() -> Iterator[Task]:
        for n in range(500):
            yield fail if n == position else lambda: done.append(1)

    with pytest.raises(Oops):
        run_all(tasks(), nothing)
    assert len(done) < 500


def test_failure_to_plan_is_raised() -> None:
    def tasks() -> Iterator[Task]:
        yield nothing
        raise Oops

    with pytest.raises(Oops):
        run_all(tasks(), nothing)


def test_failing_tick_cancels() -> None:
    with pytest.raises(Oops):
        run_all((nothing for _ in range(500)), fail)


def test_tasks_are_not_planned_far_ahead() -> None:
    drawn = done = 0
    ahead: list[int] = []

    def task() -> None:
        nonlocal done
        done += 1

    def tasks() -> Iterator[Task]:
        nonlocal drawn
        for _ in range(200):
            drawn += 1
            ahead.append(drawn - done)
            yield task

    run_all(tasks(), nothing)
    assert max(ahead) < 100
