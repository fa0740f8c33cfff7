"""Merging the layer that the guest writes to comes to an end."""

from vmkeep.fabric.pace import PATIENCE_S, Pace


def test_the_limit_holds_while_the_end_comes_nearer() -> None:
    pace = Pace(32, since=0)
    assert [pace.find_faster(1000 - step, step * PATIENCE_S) for step in range(5)] == [None] * 5


def test_the_limit_doubles_until_the_guest_is_caught_up_with() -> None:
    pace = Pace(32, since=0)
    assert pace.find_faster(1000, 0) is None
    assert pace.find_faster(1000, PATIENCE_S / 2) is None
    assert pace.find_faster(1200, PATIENCE_S) == 64
    assert pace.find_faster(1300, PATIENCE_S * 2) == 128
    assert pace.find_faster(900, PATIENCE_S * 3) is None
    assert pace.find_faster(0, PATIENCE_S * 4) is None
