import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.repository.scenes import KEY
from vmkeep.repository.errors import ObjectDamaged
from vmkeep.repository.index import Index, Location
from vmkeep.repository.index_object import (
    Entries,
    PackInfo,
    decode_index,
    encode_index,
    ids_of,
    mapped,
    no_entries,
)
from vmkeep.repository.layout import ObjectKind, new_object_id
from vmkeep.repository.sealed_objects import SealedObjects
from vmkeep.repository.sealing import Sealer
from vmkeep.repository.store.memory import MemoryStore

IDS = st.sampled_from(
    [struct.pack("<QQ", first, second) for first in (1, 2, 2**63 + 5) for second in (7, 8, 2**64 - 1)]
)


def entries_of(ids: list[bytes], pack: int = 0) -> Entries:
    rows, narrow = ids_of(ids), np.arange(len(ids), dtype=np.uint32)
    return Entries(rows[:, 0], rows[:, 1], 24 + 10 * narrow, 10 + narrow, np.full(len(ids), pack, np.uint32))


def new_pack() -> PackInfo:
    return PackInfo(new_object_id(), 1000, ObjectKind.CHUNK_PACK)


def new_index(store: MemoryStore | None = None) -> Index:
    return Index(SealedObjects(store or MemoryStore(), Sealer(KEY)))


@settings(deadline=None)
@given(st.lists(st.lists(IDS, unique=True, max_size=6), max_size=6))
def test_index_finds_what_was_written_and_nothing_else(packs: list[list[bytes]]) -> None:
    store = MemoryStore()
    writer, reader = new_index(store), new_index(store)
    infos = [new_pack() for _ in packs]
    expected: dict[bytes, set[Location]] = {}
    for info, ids in zip(infos, packs, strict=True):
        if ids:
            writer.write([info], entries_of(ids))
            for place, record_id in enumerate(ids):
                expected.setdefault(record_id, set()).add(Location(info, 24 + 10 * place, 10 + place))
    reader.refresh()
    for index in (writer, reader):
        for first in (1, 2, 3, 2**63 + 5):
            for second in (7, 8, 2**64 - 1):
                record_id = struct.pack("<QQ", first, second)
                found = index.find_one(record_id)
                assert found in expected[record_id] if found else record_id not in expected


@settings(deadline=None)
@given(st.lists(st.lists(IDS, unique=True, min_size=1, max_size=6), max_size=5), st.data())
def test_copy_outside_the_avoided_packs_is_preferred(packs: list[list[bytes]], draws: st.DataObject) -> None:
    index = new_index()
    infos = [new_pack() for _ in packs]
    for info, ids in zip(infos, packs, strict=True):
        index.write([info], entries_of(ids))
    avoided = draws.draw(st.sets(st.sampled_from(infos or [new_pack()])))
    asked = list({record_id for ids in packs for record_id in ids})
    found = index.find(ids_of(asked), index.mask({info.pack_id for info in avoided}))
    for record_id, pack in zip(asked, found.pack.tolist(), strict=True):
        better = [
            info for info, ids in zip(infos, packs, strict=True) if record_id in ids and info not in avoided
        ]
        assert index.packs[pack] in (better or infos)


def test_refresh_forgets_what_was_deleted_and_keeps_pack_numbers() -> None:
    store = MemoryStore()
    index = new_index(store)
    one, two = new_pack(), new_pack()
    first = index.write([one], entries_of([b"a" * 16]))
    index.write([two], entries_of([b"b" * 16]))
    store.delete(f"index/{first.hex()}")
    index.refresh()
    assert index.find_one(b"a" * 16) is None
    assert index.find_one(b"b" * 16) == Location(two, 24, 10)
    assert index.packs == [one, two]
    assert index.named_packs() == {two.pack_id}


def test_many_small_index_objects_stay_few_segments() -> None:
    index = new_index()
    for number in range(200):
        index.write([new_pack()], entries_of([struct.pack("<QQ", number * 7919 % 200, 5)]))
    assert len(index) == 200
    assert len(list(index.segments())) < 8


def test_large_segments_live_in_mapped_files_and_read_the_same() -> None:
    count = 1 << 15
    entries = entries_of([struct.pack("<QQ", number, ~number & 0xFFFF) for number in range(count)])
    moved = mapped(entries)
    assert moved is not entries
    assert encode_index([], moved) == encode_index([], entries)
    assert not moved.first.flags.owndata


def test_an_entry_takes_28_bytes() -> None:
    packs = [new_pack()]
    small, large = (encode_index(packs, entries_of([bytes([n]) * 16 for n in range(k)])) for k in (10, 110))
    assert len(large) - len(small) == 100 * 28


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x01\x00\x00\x00",
        struct.pack("<II", 0, 1) + bytes(28),
        struct.pack("<II", 2**31, 2**31),
        struct.pack("<II", 1, 0) + bytes(16 + 4) + b"\x99" + bytes(3),
    ],
    ids=["empty", "half a count", "entry without pack", "absurd counts", "unknown pack kind"],
)
def test_senseless_index_is_damage(payload: bytes) -> None:
    with pytest.raises(ObjectDamaged):
        decode_index("index/x", payload)


def test_empty_index_is_sound() -> None:
    assert decode_index("index/x", encode_index([], no_entries()))[0] == []
