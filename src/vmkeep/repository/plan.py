"""Which chunks of a disk to read, which to clear: pure decisions on extents."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from vmkeep.model.disk_io import Extent, ExtentKind
from vmkeep.repository.layout import FAN_OUT


@dataclass(frozen=True, slots=True)
class Span:
    """Consecutive chunks that are to be read (`DATA`) or are zeros now (`ZERO`)."""

    first: int
    count: int
    kind: ExtentKind

    @property
    def end(self) -> int:
        """First chunk after the span."""
        return self.first + self.count


def plan_spans(
    extents: Iterable[Extent], size_bytes: int, chunk_size: int, *, reread_last: bool = False
) -> Iterator[Span]:
    """Yield the spans that a disk's extents ask for, ascending; chunks not mentioned stay as they are.

    A chunk with any data in it is read whole, so is one that zeros cover in part; one that zeros cover whole is
    cleared without a look. `reread_last` reads the disk's last chunk though no extent names it.
    Raises ValueError for extents that are unordered, overlap or leave the disk.
    """
    return _joined(_spans(extents, size_bytes, chunk_size, reread_last=reread_last))


def plan_runs(spans: Iterable[Span], run_chunks: int) -> Iterator[Span]:
    """Cut spans into runs of at most `run_chunks` that do not cross from one leaf to the next."""
    for span in spans:
        first = span.first
        while first < span.end:
            leaf_end = (first // FAN_OUT + 1) * FAN_OUT
            limit = leaf_end if span.kind is ExtentKind.ZERO else min(leaf_end, first + run_chunks)
            end = min(span.end, limit)
            yield Span(first, end - first, span.kind)
            first = end


def _spans(
    extents: Iterable[Extent], size_bytes: int, chunk_size: int, *, reread_last: bool
) -> Iterator[Span]:
    planned = position = 0  # chunks before `planned` are decided; bytes before `position` were mentioned
    for extent in extents:
        if extent.offset < position or extent.length <= 0 or extent.end > size_bytes:
            raise ValueError(f"extent {extent} is out of order or outside a disk of {size_bytes} bytes")
        position = extent.end
        outer = max(planned, extent.offset // chunk_size)
        outer_end = -(-extent.end // chunk_size)
        inner, inner_end = outer, outer
        if extent.kind is ExtentKind.ZERO:
            inner = max(outer, -(-extent.offset // chunk_size))
            whole_end = outer_end if extent.end == size_bytes else extent.end // chunk_size
            inner_end = max(inner, whole_end)
        yield Span(outer, inner - outer, ExtentKind.DATA)
        yield Span(inner, inner_end - inner, ExtentKind.ZERO)
        yield Span(inner_end, outer_end - inner_end, ExtentKind.DATA)
        planned = max(planned, outer_end)
    last = max(0, (size_bytes - 1) // chunk_size)
    if reread_last and planned <= last and size_bytes:
        yield Span(last, 1, ExtentKind.DATA)


def _joined(spans: Iterable[Span]) -> Iterator[Span]:
    """Drop empty spans and join neighbours of one kind."""
    held: Span | None = None
    for span in spans:
        if span.count <= 0:
            continue
        if held and held.kind is span.kind and held.end == span.first:
            held = Span(held.first, held.count + span.count, held.kind)
            continue
        if held:
            yield held
        held = span
    if held:
        yield held
