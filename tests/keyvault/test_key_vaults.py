"""What key vaults promise about what is in them."""

import sqlite3
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.keyvault.scenes import ME, NOTHING, Scene, key_vault
from vmkeep.keyvault.database import Database
from vmkeep.keyvault.errors import (
    BadKeyInput,
    DeletedEntryExists,
    DeletedKeyVaultExists,
    EntryDisabled,
    EntryExists,
    EntryNotFound,
    EntryOutOfTime,
    KeyInUse,
    KeyOperationForbidden,
    KeyVaultExists,
    KeyVaultNotFound,
    KeyVaultsUnreadable,
    MissingRight,
    PurgeProtected,
)
from vmkeep.keyvault.key_entries import KeyOperation
from vmkeep.keyvault.records import Change
from vmkeep.keyvault.rights import RIGHTS, AccessPolicy, Kind, Right, has_right

CANARY = "canary-7f3e-do-not-sing"
OAEP = "RSA-OAEP-256"


def test_a_secret_comes_back_and_its_older_versions_too(scene: Scene) -> None:
    first = scene.secrets.set("disk", "one", content_type="text/plain", change=Change(tags={"a": "b"}))
    second = scene.secrets.set("DISK", "two", content_type=None, change=NOTHING)
    assert scene.secrets.reveal("disk") == (second, "two")
    assert scene.secrets.reveal("disk", first.id) == (first, "one")
    assert [version.id for version in scene.secrets.list_versions("disk")] == [second.id, first.id]
    assert [version.name for version in scene.secrets.list()] == ["disk"]
    assert (first.facts, first.tags) == ({"contentType": "text/plain"}, {"a": "b"})


def test_nothing_in_the_file_shows_a_secret_or_a_private_key(scene: Scene) -> None:
    version = scene.secrets.set("disk", CANARY, content_type=None, change=NOTHING)
    scene.keys.create("kek", operations=None, change=NOTHING)
    assert CANARY not in repr(version)
    dump = b"".join(path.read_bytes() for path in scene.folder.glob("keyvault.db*"))
    assert CANARY.encode() not in dump
    assert b"kek" in dump
    assert (scene.folder / "keyvault.db").stat().st_mode & 0o077 == 0


def test_what_is_sealed_opens_in_its_own_place_only(scene: Scene) -> None:
    scene.secrets.set("mine", CANARY, content_type=None, change=NOTHING)
    scene.secrets.set("other", "x", content_type=None, change=NOTHING)
    with sqlite3.connect(scene.folder / "keyvault.db") as stranger:
        stranger.execute(
            "UPDATE versions SET sealed = (SELECT sealed FROM versions WHERE name = 'mine') WHERE name = 'other'"
        )
    stranger.close()
    with pytest.raises(Exception, match="cannot be unwrapped"):
        scene.secrets.reveal("other")


@pytest.mark.parametrize("size", [2048, 3072, 4096])
def test_a_key_undoes_what_it_did(scene: Scene, size: int) -> None:
    made = scene.keys.create("kek", size=size, operations=None, change=NOTHING)
    for does, undoes in (("encrypt", "decrypt"), ("wrapKey", "unwrapKey")):
        used, hidden = scene.keys.use(KeyOperation(does), "kek", "", algorithm=OAEP, value=b"plain")
        assert used.id == made.id
        assert b"plain" not in hidden
        undone = scene.keys.use(KeyOperation(undoes), "kek", made.id, algorithm="rsa-oaep-256", value=hidden)
        assert undone == (made, b"plain")


def test_a_rotated_key_still_opens_what_its_old_version_closed(scene: Scene) -> None:
    old = scene.keys.create("kek", size=3072, operations=["wrapKey", "unwrapKey", "sign"], change=NOTHING)
    _, wrapped = scene.keys.use(KeyOperation.WRAP_KEY, "kek", "", algorithm=OAEP, value=b"data key")
    new = scene.keys.rotate("kek")
    assert new.facts["key_ops"] == old.facts["key_ops"] == ["wrapKey", "unwrapKey"]
    assert len(new.facts["n"]) == len(old.facts["n"])
    assert scene.keys.get("kek").id == new.id
    assert (
        scene.keys.use(KeyOperation.UNWRAP_KEY, "kek", old.id, algorithm=OAEP, value=wrapped)[1]
        == b"data key"
    )
    with pytest.raises(BadKeyInput, match="not encrypted with this key"):
        scene.keys.use(KeyOperation.UNWRAP_KEY, "kek", new.id, algorithm=OAEP, value=wrapped)


def test_what_a_key_must_not_do_it_does_not(scene: Scene) -> None:
    scene.keys.create(
        "kek", operations=["wrapKey"], change=Change(expires=int(scene.clock.now().timestamp()) + 10)
    )
    with pytest.raises(KeyOperationForbidden, match="whose operations are wrapKey"):
        scene.keys.use(KeyOperation.DECRYPT, "kek", "", algorithm=OAEP, value=b"")
    scene.clock.advance(10)
    with pytest.raises(EntryOutOfTime, match="expired"):
        scene.keys.use(KeyOperation.WRAP_KEY, "kek", "", algorithm=OAEP, value=b"x")
    scene.keys.update("kek", "", operations=["unwrapKey"], change=Change(enabled=False))
    with pytest.raises(EntryDisabled, match="unwrapKey is not allowed on a disabled key"):
        scene.keys.use(KeyOperation.UNWRAP_KEY, "kek", "", algorithm=OAEP, value=b"x")
    scene.secrets.set("disk", "x", content_type=None, change=Change(enabled=False))
    with pytest.raises(EntryDisabled):
        scene.secrets.reveal("disk")


@pytest.mark.parametrize(
    ("attempt", "said"),
    [
        (lambda keys: keys.create("k", size=1024, operations=None, change=NOTHING), "2048, 3072, 4096"),
        (lambda keys: keys.create("k", operations=["fly"], change=NOTHING), "not fly"),
        (lambda keys: keys.import_jwk("k", {"kty": "EC"}, operations=None, change=NOTHING), "Only RSA"),
        (
            lambda keys: keys.import_jwk("k", {"kty": "RSA", "n": 5}, operations=None, change=NOTHING),
            "whole RSA",
        ),
        (lambda keys: keys.restore(b"nonsense"), "no backup of a key"),
        (
            lambda keys: keys.use(KeyOperation.ENCRYPT, "kek", "", algorithm="RSA1_5", value=b""),
            "not 'RSA1_5'",
        ),
        (
            lambda keys: keys.use(KeyOperation.ENCRYPT, "kek", "", algorithm=OAEP, value=bytes(300)),
            "too long",
        ),
    ],
    ids=["size", "operation", "curve", "half a key", "blob", "algorithm", "too long"],
)
def test_what_makes_no_sense_to_a_key_is_said(
    scene: Scene, attempt: Callable[[object], object], said: str
) -> None:
    scene.keys.create("kek", operations=None, change=NOTHING)
    with pytest.raises(BadKeyInput, match=said):
        attempt(scene.keys)


def test_what_is_deleted_can_be_recovered_until_its_time_is_over(scene: Scene) -> None:
    scene.secrets.set("disk", "one", content_type=None, change=NOTHING)
    deleted = scene.secrets.delete("disk")
    with pytest.raises(EntryNotFound):
        scene.secrets.reveal("disk")
    with pytest.raises(DeletedEntryExists, match="recoverable"):
        scene.secrets.set("disk", "two", content_type=None, change=NOTHING)
    assert scene.secrets.list_deleted() == [deleted]
    scene.days_pass(6)
    scene.secrets.recover("disk")
    assert scene.secrets.reveal("disk")[1] == "one"
    scene.secrets.delete("disk")
    scene.days_pass(7)
    assert scene.secrets.list_deleted() == []
    scene.secrets.set("disk", "anew", content_type=None, change=NOTHING)
    assert len(scene.secrets.list_versions("disk")) == 1


def test_purged_is_gone_also_from_the_file(scene: Scene) -> None:
    scene.secrets.set("disk", "one", content_type=None, change=NOTHING)
    with pytest.raises(EntryNotFound):
        scene.secrets.purge("disk")
    scene.secrets.delete("disk")
    scene.permit(purge_protection=True)
    with pytest.raises(PurgeProtected):
        scene.secrets.purge("disk")
    scene.permit()
    scene.secrets.purge("disk")
    assert scene.secrets.list_deleted() == []


def test_what_a_vault_needs_is_never_purged(scene: Scene) -> None:
    scene.keys.create("kek", operations=None, change=NOTHING)
    scene.keys.delete("kek")
    scene.needed[("kv1", "kek")] = scene.needed[("kv1", None)] = ["main"]
    with pytest.raises(KeyInUse, match="main"):
        scene.keys.purge("kek")
    scene.days_pass(365)
    assert len(scene.keys.list_deleted()) == 1
    scene.key_vaults.delete("kv1")
    with pytest.raises(KeyInUse, match="main"):
        scene.key_vaults.purge("kv1")
    scene.days_pass(365)
    scene.key_vaults.recover("kv1")
    scene.needed.clear()
    assert scene.keys.list_deleted() == []


def test_a_backup_restores_every_version_in_another_key_vault(scene: Scene) -> None:
    old = scene.secrets.set("disk", CANARY, content_type=None, change=NOTHING)
    scene.secrets.set("disk", "two", content_type=None, change=Change(enabled=False))
    blob = scene.secrets.backup("disk")
    assert CANARY.encode() not in blob
    with pytest.raises(EntryExists):
        scene.secrets.restore(blob)
    with pytest.raises(BadKeyInput):
        scene.keys.restore(blob)
    scene.key_vaults.create(key_vault("kv2"))
    elsewhere = scene.key_vaults.secrets("kv2", ME)
    assert not elsewhere.restore(blob).enabled
    assert elsewhere.reveal("disk", old.id)[1] == CANARY


def test_a_deleted_key_vault_keeps_its_name_until_it_is_purged(scene: Scene) -> None:
    scene.secrets.set("disk", "one", content_type=None, change=NOTHING)
    with pytest.raises(KeyVaultExists):
        scene.key_vaults.create(key_vault("KV1"))
    scene.key_vaults.delete("kv1")
    with pytest.raises(KeyVaultNotFound):
        scene.key_vaults.secrets("kv1", ME)
    with pytest.raises(DeletedKeyVaultExists):
        scene.key_vaults.create(key_vault())
    scene.key_vaults.recover("kv1")
    assert scene.secrets.reveal("disk")[1] == "one"
    scene.key_vaults.delete("kv1")
    scene.key_vaults.purge("kv1")
    scene.key_vaults.create(key_vault())
    assert scene.secrets.list() == []


def test_a_right_is_needed_for_each_kind_of_its_own(scene: Scene) -> None:
    scene.permit(AccessPolicy("you", "tenant", {"keys": ("Get",)}))
    with pytest.raises(EntryNotFound):
        scene.key_vaults.keys("kv1", "YOU").get("none")
    with pytest.raises(MissingRight, match="'you' does not have secrets get permission on key vault 'kv1'"):
        scene.key_vaults.secrets("kv1", "you").reveal("none")
    with pytest.raises(MissingRight) as refused:
        scene.key_vaults.keys("kv1", "nobody").list()
    assert "--key-permissions list" in refused.value.advice


@given(st.sets(st.sampled_from(Right)), st.sampled_from(Right), st.sampled_from(Kind))
def test_no_right_comes_from_another(given_rights: set[Right], asked: Right, kind: Kind) -> None:
    policies = [
        AccessPolicy("you", "t", {kind: tuple(given_rights)}),
        AccessPolicy("other", "t", {kind: ("all",)}),
    ]
    assert has_right(policies, "you", kind, asked) == (asked in given_rights)


def test_rights_are_added_and_taken_away(scene: Scene) -> None:
    del scene
    policy = AccessPolicy("you", "t", {"keys": ("get",)}).with_rights(
        {"keys": ("list",), "secrets": ("get",)}
    )
    assert policy.rights == {"keys": ("get", "list"), "secrets": ("get",)}
    less = policy.without_rights({"keys": ("all",)})
    assert less is not None
    assert less.rights == {"keys": (), "secrets": ("get",)}
    assert less.without_rights({"secrets": ("GET",)}) is None
    assert set(RIGHTS) == set(Kind)


def test_a_file_of_a_newer_version_is_left_alone(scene: Scene) -> None:
    path = scene.folder / "newer.db"
    with sqlite3.connect(path) as newer:
        newer.execute("PRAGMA user_version=99")
    newer.close()
    with pytest.raises(KeyVaultsUnreadable, match="a newer vmkeep"):
        Database(path)
    (scene.folder / "nonsense.db").write_bytes(b"no database at all" * 100)
    with pytest.raises(KeyVaultsUnreadable, match="not a database"):
        Database(scene.folder / "nonsense.db")
