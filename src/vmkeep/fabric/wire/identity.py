"""Who is asking: a VM is known by its place on a bridge, never by what it says."""

import asyncio
from collections import Counter
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Protocol

import structlog

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


class Positions:
    """Asks the locator about each connection, never twice from memory: an address may change hands any time.

    Positions where nobody was found yet wait in a short line, so that strangers cannot keep guests out. Event loop
    only.
    """

    def __init__(self, locator: GuestLocator, *, limits: WireLimits, executor: Executor) -> None:
        self._locator = locator
        self._limits = limits
        self._executor = executor
        self._known: set[Position] = set()
        self._newcomers: Counter[str] = Counter()

    async def find(self, position: Position) -> GuestIdentity | None:
        """Return who sits at `position`; None when nobody known does, or too many newcomers ask at once."""
        if position in self._known:
            return await self._look_up(position)
        if self._newcomers[position.bridge] >= self._limits.newcomers_per_bridge:
            return None
        self._newcomers[position.bridge] += 1
        try:
            return await self._look_up(position)
        finally:
            self._newcomers[position.bridge] -= 1

    async def _look_up(self, position: Position) -> GuestIdentity | None:
        look = partial(self._locator.locate, position.bridge, position.ip)
        try:
            async with asyncio.timeout(self._limits.lookup_s):
                identity = await asyncio.get_running_loop().run_in_executor(self._executor, look)
        except Exception as error:  # noqa: BLE001 - whatever the locator's trouble is, this peer stays unknown
            log.warning(
                "wire.position.lookup_failed", bridge=position.bridge, ip=position.ip, error=repr(error)
            )
            identity = None
        if identity is None:
            self._known.discard(position)
        else:
            self._known.add(position)
        return identity
