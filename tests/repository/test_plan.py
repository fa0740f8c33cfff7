import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.repository.scenes import data, zeros
from vmkeep.model.disk_io import Extent, ExtentKind
from vmkeep.repository.plan import Span, plan_runs, plan_spans

CHUNK = 100


def read(first: int, count: int) -> Span:
    return Span(first, count, ExtentKind.DATA)


def clear(first: int, count: int) -> Span:
    return Span(first, count, ExtentKind.ZERO)


@pytest.mark.parametrize(
    ("extents", "spans"),
    [
        ([], []),
        ([data(0, 1)], [read(0, 1)]),
        ([data(99, 2)], [read(0, 2)]),
        ([data(0, 1), data(50, 1), data(99, 1)], [read(0, 1)]),
        ([data(0, 100), data(100, 100)], [read(0, 2)]),
        ([zeros(0, 300)], [clear(0, 3)]),
        ([zeros(50, 300)], [read(0, 1), clear(1, 2), read(3, 1)]),
        ([zeros(10, 20)], [read(0, 1)]),
        ([zeros(900, 50)], [clear(9, 1)]),
        ([data(0, 110), zeros(110, 90)], [read(0, 2)]),
        ([zeros(0, 150), data(150, 1)], [clear(0, 1), read(1, 1)]),
    ],
    ids=[
        "nothing",
        "one byte",
        "across a border",
        "thrice the same chunk",
        "neighbours",
        "whole zeros",
        "zeros with ragged ends",
        "zeros inside a chunk",
        "zeros up to the disk's end",
        "zeros in a chunk with data",
        "data in a chunk with zeros",
    ],
)
def test_extents_become_whole_chunks(extents: list[Extent], spans: list[Span]) -> None:
    assert list(plan_spans(extents, 950, CHUNK)) == spans


@pytest.mark.parametrize(
    "extents",
    [[data(10, 5), data(12, 5)], [data(10, 5), data(0, 5)], [data(949, 2)], [data(5, 0)], [data(-1, 2)]],
    ids=["overlapping", "unordered", "past the end", "empty", "negative"],
)
def test_senseless_extents_are_refused(extents: list[Extent]) -> None:
    with pytest.raises(ValueError, match="extent"):
        list(plan_spans(extents, 950, CHUNK))


def test_last_chunk_is_read_again_on_demand_and_only_once() -> None:
    assert list(plan_spans([], 950, CHUNK, reread_last=True)) == [read(9, 1)]
    assert list(plan_spans([data(940, 1)], 950, CHUNK, reread_last=True)) == [read(9, 1)]
    assert list(plan_spans([], 0, CHUNK, reread_last=True)) == []


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 900), st.booleans()), max_size=5), st.integers(1, 7)
)
def test_runs_cover_the_spans_and_stay_within_leaves(
    parts: list[tuple[int, int, bool]], run_chunks: int
) -> None:
    spans, first = [], 0
    for gap, count, is_zero in parts:
        first += gap
        spans.append(clear(first, count) if is_zero else read(first, count))
        first += count
    runs = list(plan_runs(spans, run_chunks))
    assert [(c, s.kind) for s in spans for c in range(s.first, s.end)] == [
        (c, r.kind) for r in runs for c in range(r.first, r.end)
    ]
    for run in runs:
        assert run.first // 256 == (run.end - 1) // 256
        assert run.count <= run_chunks or run.kind is ExtentKind.ZERO
