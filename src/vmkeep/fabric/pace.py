"""How fast a layer is merged that the guest still writes to.

Merging the active layer chases the guest: at a limit below what the guest writes it would never end.
"""

from dataclasses import dataclass, field

PATIENCE_S = 5.0


@dataclass(slots=True)
class Pace:
    """A limit in MiB per second that doubles whenever `PATIENCE_S` seconds have not brought the end nearer."""

    mib_s: int
    since: float
    """When the limit was set, in seconds of a steady counter."""
    _left: int | None = field(default=None, init=False)
    """Bytes that were left then; None: not known yet."""

    def find_faster(self, left: int, now: float) -> int | None:
        """Return the new limit when it is time for one; `left` is what has still to be copied, in bytes."""
        if self._left is None:
            self._left = left
        if now - self.since < PATIENCE_S:
            return None
        stuck = left >= self._left
        self.since, self._left = now, left
        if not stuck or not left:
            return None
        self.mib_s *= 2
        return self.mib_s
