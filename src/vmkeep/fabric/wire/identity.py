"""Who is asking: a VM is known by its place on a bridge, never by what it says."""

import asyncio
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import structlog

from vmkeep.base.clock import Clock
from vmkeep.fabric.wire.limits import WireLimits

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class GuestIdentity:
    """The VM behind a position. `role_guid` is what the guest takes for its own identity."""

    vm_uuid: str
    vm_name: str
    role_guid: str
    mac: str
    ip: str


class GuestLocator(Protocol):
    """Finds the VM at a network position; may block and may be called from several threads."""

    def locate(self, bridge: str, ip: str) -> GuestIdentity | None:
        """Return the VM that owns the bridge port behind `ip`, or None."""
        ...


class Position(NamedTuple):
    """Where a connection comes from."""

    bridge: str
    ip: str


@dataclass(frozen=True, slots=True)
class _Located:
    identity: GuestIdentity
    until: float


class KnownPositions:
    """Remembers who sits where for a few seconds, and bounds the look-ups of newcomers. Event loop only."""

    def __init__(
        self, locator: GuestLocator, *, limits: WireLimits, clock: Clock, executor: Executor
    ) -> None:
        self._locator = locator
        self._limits = limits
        self._clock = clock
        self._executor = executor
        self._known: dict[Position, _Located] = {}
        self._first_lookups: Counter[str] = Counter()

    async def find(self, position: Position) -> GuestIdentity | None:
        """Return who sits at `position`; None when nobody known does, or too many newcomers ask at once."""
        located = self._known.get(position)
        if located is not None and located.until > self._clock.monotonic():
            return located.identity
        if located is not None:
            return await self._look_up(position)
        if self._first_lookups[position.bridge] >= self._limits.first_lookups_per_bridge:
            return None
        self._first_lookups[position.bridge] += 1
        try:
            return await self._look_up(position)
        finally:
            self._first_lookups[position.bridge] -= 1

    async def _look_up(self, position: Position) -> GuestIdentity | None:
        locate: Callable[[], GuestIdentity | None] = lambda: self._locator.locate(*position)  # noqa: E731 - a thunk
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._limits.lookup_s):
                identity = await loop.run_in_executor(self._executor, locate)
        except Exception as error:  # noqa: BLE001 - whatever the locator's trouble is, this peer stays unknown
            log.warning(
                "wire.position.lookup_failed", bridge=position.bridge, ip=position.ip, error=repr(error)
            )
            identity = None
        self._known.pop(position, None)
        if identity is not None:
            until = self._clock.monotonic() + self._limits.position_ttl_s
            self._known[position] = _Located(identity, until)
        return identity
