"""The prune lease: the time-limited exclusive right to prune. docs/formats/repository.md, "Prune"."""

import json
import os
import socket
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import TracebackType
from typing import Final, Self

from vmkeep.base.clock import Clock
from vmkeep.base.errors import VmkeepError
from vmkeep.base.ids import new_guid
from vmkeep.repository.errors import ObjectDamaged, ObjectExists, PruneRunning
from vmkeep.repository.holder import has_ended, this_process
from vmkeep.repository.layout import PRUNE_LEASE_NAME, ObjectKind
from vmkeep.repository.sealed_objects import SealedObjects

LEASE_TIME: Final = timedelta(minutes=15)
_MAX_SIZE = 4096


@dataclass(frozen=True, slots=True)
class _Holder:
    owner: str
    expires: datetime
    process: str = ""


class PruneLease:
    """Held while the `with` block runs; entering raises PruneRunning while somebody else holds it.

    A holder whose process has ended for certain, killed on this machine since it was booted, holds nothing.
    """

    def __init__(self, objects: SealedObjects, clock: Clock) -> None:
        self._objects = objects
        self._clock = clock
        self._taken_at = clock.monotonic()
        self._owner = f"{socket.gethostname()}, process {os.getpid()}, {new_guid()}"

    def __enter__(self) -> Self:
        holder = self._holder()
        if holder:
            if holder.expires > self._clock.now() and not has_ended(holder.process):
                raise PruneRunning(holder.owner, holder.expires.isoformat())
            self._objects.store.delete(PRUNE_LEASE_NAME)
        self._take()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(VmkeepError):  # an error of the prune matters more, and the lease runs out by itself
            if self._is_ours():
                self._objects.store.delete(PRUNE_LEASE_NAME)

    def keep(self) -> None:
        """Renew it when a third of its time is gone; to be called often."""
        if self._clock.monotonic() - self._taken_at > LEASE_TIME.total_seconds() / 3:
            self.renew()

    def renew(self) -> None:
        """Hold it for another 15 minutes, or raise PruneRunning when somebody else took it."""
        if self._is_ours():
            self._objects.store.delete(PRUNE_LEASE_NAME)
        self._take()

    def _take(self) -> None:
        self._taken_at = self._clock.monotonic()
        members = {
            "expires": (self._clock.now() + LEASE_TIME).isoformat(),
            "owner": self._owner,
            "process": this_process(),
        }
        payload = json.dumps(members, sort_keys=True, separators=(",", ":")).encode()
        try:
            self._objects.put(ObjectKind.LEASE, payload)
        except ObjectExists as error:
            holder = self._holder() or _Holder("somebody", self._clock.now())
            raise PruneRunning(holder.owner, holder.expires.isoformat()) from error

    def _is_ours(self) -> bool:
        holder = self._holder()
        return holder is not None and holder.owner == self._owner

    def _holder(self) -> _Holder | None:
        payload = self._objects.find(ObjectKind.LEASE, None, limit=_MAX_SIZE)
        if payload is None:
            return None
        try:
            members = json.loads(payload)
            expires = datetime.fromisoformat(members["expires"])
            return _Holder(str(members["owner"]), expires, str(members.get("process", "")))
        except (ValueError, KeyError, TypeError) as error:
            raise ObjectDamaged(PRUNE_LEASE_NAME, f"it is not a lease: {error!r}") from error
