"""Notes: a few secret bytes beside the repository, sealed with its key for one place."""

import pytest

from vmkeep.repository.errors import ObjectDamaged
from vmkeep.repository.sealing import NoteSeal, RepositoryKey

SEAL = NoteSeal(RepositoryKey(bytes(32)))


def test_note_opens_in_its_own_place_and_shows_nothing() -> None:
    note = SEAL.seal(b"correct horse", "vda")
    assert b"correct horse" not in note
    assert SEAL.open(note, "vda") == b"correct horse"
    assert SEAL.seal(b"correct horse", "vda") != note


@pytest.mark.parametrize(
    "damage", ["another place", "another key", "flipped bit", "cut short", "another version"]
)
def test_note_that_is_not_what_was_sealed_is_refused(damage: str) -> None:
    note, seal, place = SEAL.seal(b"correct horse", "vda"), SEAL, "vda"
    if damage == "another place":
        place = "vdb"
    elif damage == "another key":
        seal = NoteSeal(RepositoryKey(bytes(31) + b"\x01"))
    elif damage == "flipped bit":
        note = note[:-1] + bytes([note[-1] ^ 1])
    elif damage == "cut short":
        note = note[:9]
    else:
        note = b"\x02" + note[1:]
    with pytest.raises(ObjectDamaged):
        seal.open(note, place)
