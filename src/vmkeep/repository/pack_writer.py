"""From records to packs in the store, and their index: each record once, by many threads at once."""

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from typing import Final

import numpy as np
import structlog

from vmkeep.base.clock import Clock
from vmkeep.base.errors import VmkeepError
from vmkeep.repository.errors import RepositoryChanged
from vmkeep.repository.index import Index, Mask
from vmkeep.repository.index_object import concatenate, ids_of, split_ids
from vmkeep.repository.layout import ObjectKind, RecordKind, object_name
from vmkeep.repository.pack import PACK_TARGET, FinishedPack, PackBuilder
from vmkeep.repository.sealed_objects import SealedObjects
from vmkeep.repository.sealing import Compressed

_log = structlog.get_logger()
_UPLOADS = 2
_PACKS_PER_INDEX = 32
_INDEX_EVERY_S: Final = 240
_TOO_LATE_S: Final = 1800
"""A pack that no index has named for an hour may be condemned, so naming it must not take nearly that long."""


class PackWriter:
    """Stores records that are not stored yet.

    `claim` the ids, `add` the records that were new, and `finish`; or `abandon`, which names what has reached the store
    so that the next run finds it. The first error of an upload is raised from the next call.
    """

    def __init__(
        self, objects: SealedObjects, index: Index, avoid: Mask, clock: Clock, target: int = PACK_TARGET
    ) -> None:
        """Count records found in packs of the mask `avoid` as not stored."""
        self.stored_bytes = 0
        """Bytes of packs that reached the store."""
        self.relied_on: set[bytes] = set()
        """Ids of the packs written, and of those in which claimed records were found."""
        self._objects = objects
        self._index = index
        self._avoid = np.append(
            avoid, np.False_
        )  # the last stands for every pack that is newer than the mask
        self._clock = clock
        self._target = target
        self._lock = threading.Lock()
        self._claimed: set[bytes] = set()
        self._open: list[PackBuilder] = []
        self._spare: list[bytearray] = []
        self._unindexed: list[FinishedPack] = []
        self._first_unindexed_at = 0.0
        self._failure: BaseException | None = None
        self._room = threading.Semaphore(_UPLOADS)
        self._uploader = ThreadPoolExecutor(_UPLOADS, "vmkeep-upload")

    def claim(self, ids: Sequence[bytes]) -> list[bool]:
        """Return for each id whether the caller must add its record: nobody else has or will."""
        with self._lock:
            found = self._index.find(ids_of(ids), self._avoid)
            usable = found.known & ~self._avoid[np.minimum(found.pack, len(self._avoid) - 1)]
            self.relied_on.update(
                self._index.packs[number].pack_id for number in np.unique(found.pack[usable])
            )
            mine = []
            for record_id, stored in zip(ids, usable, strict=True):
                mine.append(not stored and record_id not in self._claimed)
                if not stored:
                    self._claimed.add(record_id)
            return mine

    def add(self, kind: RecordKind, record_id: bytes, packed: Compressed) -> None:
        """Put a claimed record into a pack; blocks while enough packs are on their way."""
        self._raise_failure()
        pack = self._take_open(kind)
        pack.add(record_id, packed)
        if pack.full:
            self._ship(pack)
        else:
            with self._lock:
                self._open.append(pack)

    def finish(self) -> None:
        """Return when everything added is stored and named by an index."""
        for pack in self._open:
            self._ship(pack)
        self._open = []
        self._uploader.shutdown()
        self._raise_failure()
        self._name(self._unindexed)

    def abandon(self) -> None:
        """Drop packs not yet full, and name those that reached the store if it lets us."""
        self._open = []
        self._uploader.shutdown()
        with suppress(VmkeepError):
            self._name(self._unindexed)

    def _take_open(self, kind: RecordKind) -> PackBuilder:
        with self._lock:
            for position, pack in enumerate(self._open):
                if pack.kind is kind:
                    return self._open.pop(position)
            memory = self._spare.pop() if self._spare else bytearray()
        return PackBuilder(self._objects.sealer, kind, self._target, memory)

    def _ship(self, pack: PackBuilder) -> None:
        finished = pack.finish()
        self._room.acquire()
        self._uploader.submit(self._upload, finished)

    def _upload(self, pack: FinishedPack) -> None:
        try:
            if self._failure is None:
                self._objects.store.put(object_name(pack.info.kind, pack.info.pack_id), pack.data)
                self._name(self._stored(pack))
        except BaseException as error:  # noqa: BLE001 - raised from the next call of the owner
            self._failure = self._failure or error
        finally:
            self._room.release()

    def _stored(self, pack: FinishedPack) -> list[FinishedPack]:
        """Note a stored pack; return the packs that it is time to name."""
        with self._lock:
            self._spare.append(pack.memory)
            if not self._unindexed:
                self._first_unindexed_at = self._clock.monotonic()
            self.stored_bytes += pack.info.size
            self.relied_on.add(pack.info.pack_id)
            self._unindexed.append(replace(pack, memory=bytearray()))
            late = self._clock.monotonic() - self._first_unindexed_at >= _INDEX_EVERY_S
            if not late and len(self._unindexed) < _PACKS_PER_INDEX:
                return []
            due, self._unindexed = self._unindexed, []
            return due

    def _name(self, packs: Sequence[FinishedPack]) -> None:
        """Store an index object that names these packs; take it back when it comes too late to be believed."""
        if not packs:
            return
        since = self._first_unindexed_at
        entries = concatenate([pack.entries.in_pack(number) for number, pack in enumerate(packs)])
        index_id = self._index.write([pack.info for pack in packs], entries)
        waited_s = self._clock.monotonic() - since
        if waited_s > _TOO_LATE_S:
            self._objects.delete(ObjectKind.INDEX, index_id)
            raise RepositoryChanged(f"the store was so slow that packs stayed unnamed for {waited_s:.0f} s")
        _log.debug("repository.index.written", packs=len(packs), entries=len(entries))
        with self._lock:
            self._claimed.difference_update(split_ids(entries.ids.tobytes()))

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure
