"""A vault's data key under a key vault's key: what revoking, rotating and giving back do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.keyvault.scenes import NOTHING, Scene
from vmkeep.base.errors import InvalidValue
from vmkeep.keyvault import LocalKeyring
from vmkeep.keyvault.data_keyring import DataKeyring, find_wrapping
from vmkeep.keyvault.errors import EncryptionKeyRefused, EncryptionKeyUnusable, WrappedKeyDamaged, WrongKey
from vmkeep.keyvault.key_id import KeyId
from vmkeep.keyvault.own_keys import OwnKeys
from vmkeep.keyvault.records import Change
from vmkeep.keyvault.rights import BACKUP_SERVICE, FOR_BACKUPS, AccessPolicy

DATA_KEY, VAULT = bytes(range(32)), "vault-1"
BACKUPS_MAY = AccessPolicy(BACKUP_SERVICE, "tenant", FOR_BACKUPS)
KEK = KeyId.own("kv1", "kek")


@pytest.fixture
def keyring(scene: Scene) -> DataKeyring:
    scene.permit(BACKUPS_MAY)
    scene.keys.create("kek", operations=None, change=NOTHING)
    own = OwnKeys(scene.key_vaults)
    return DataKeyring(LocalKeyring(scene.folder / "master.key"), own=own, foreign=own)


def test_a_data_key_comes_back_from_either_kind_of_wrapping(keyring: DataKeyring) -> None:
    for key in (None, KEK):
        wrapped = keyring.wrap(DATA_KEY, VAULT, key)
        assert DATA_KEY not in wrapped
        assert keyring.unwrap(wrapped, VAULT) == DATA_KEY
        with pytest.raises((WrongKey, WrappedKeyDamaged)):
            keyring.unwrap(wrapped, "another vault")


def test_what_wraps_is_seen_without_any_key(keyring: DataKeyring, scene: Scene) -> None:
    version = scene.keys.get("kek").id
    wrapping = find_wrapping(keyring.wrap(DATA_KEY, VAULT, KEK), VAULT)
    assert wrapping is not None
    assert (wrapping.asked, wrapping.used) == (KEK, KEK.at(version))
    assert find_wrapping(keyring.wrap(DATA_KEY, VAULT, None), VAULT) is None


def wrap_and_open(keyring: DataKeyring, wrapped: bytes) -> None:
    keyring.unwrap(wrapped, VAULT)
    keyring.wrap(DATA_KEY, VAULT, KEK)


@pytest.mark.parametrize("missing", FOR_BACKUPS["keys"])
def test_a_right_taken_away_is_named_and_given_back_it_heals(
    keyring: DataKeyring, scene: Scene, missing: str
) -> None:
    wrapped = keyring.wrap(DATA_KEY, VAULT, KEK)
    rest = tuple(right for right in FOR_BACKUPS["keys"] if right != missing)
    scene.permit(AccessPolicy(BACKUP_SERVICE, "tenant", {"keys": rest}))
    with pytest.raises(EncryptionKeyRefused, match=f"keys {missing} permission") as refused:
        wrap_and_open(keyring, wrapped)
    assert refused.value.code == "UserErrorCMKMissingMangedIdentityPermissionOnKeyVault"
    assert f"--key-permissions {missing}" in refused.value.advice
    scene.permit(BACKUPS_MAY)
    assert keyring.unwrap(wrapped, VAULT) == DATA_KEY


def test_a_key_that_is_disabled_or_deleted_shuts_the_vault_until_it_is_back(
    keyring: DataKeyring, scene: Scene
) -> None:
    wrapped = keyring.wrap(DATA_KEY, VAULT, KEK)
    scene.keys.update("kek", "", operations=None, change=Change(enabled=False))
    with pytest.raises(EncryptionKeyUnusable, match="disabled key"):
        keyring.unwrap(wrapped, VAULT)
    scene.keys.update("kek", "", operations=None, change=Change(enabled=True))
    scene.keys.delete("kek")
    with pytest.raises(EncryptionKeyUnusable, match="not found"):
        keyring.unwrap(wrapped, VAULT)
    scene.keys.recover("kek")
    scene.key_vaults.delete("kv1")
    with pytest.raises(EncryptionKeyUnusable, match="no key vault 'kv1'"):
        keyring.unwrap(wrapped, VAULT)
    scene.key_vaults.recover("kv1")
    assert keyring.unwrap(wrapped, VAULT) == DATA_KEY


def test_after_a_rotation_old_wrappings_open_and_new_ones_use_the_new_version(
    keyring: DataKeyring, scene: Scene
) -> None:
    old = keyring.wrap(DATA_KEY, VAULT, KEK)
    rotated = scene.keys.rotate("kek").id
    new = keyring.wrap(DATA_KEY, VAULT, KEK)
    wrapping = find_wrapping(new, VAULT)
    assert wrapping is not None
    assert wrapping.used.version == rotated
    assert keyring.newest(KEK) == wrapping.used
    assert keyring.unwrap(old, VAULT) == keyring.unwrap(new, VAULT) == DATA_KEY


class Mirror:
    """A place that wraps by turning round."""

    def newest(self, key: KeyId) -> KeyId:
        return key.at("1")

    def wrap(self, key: KeyId, plaintext: bytes) -> bytes:
        del key
        return plaintext[::-1]

    def unwrap(self, key: KeyId, wrapped: bytes) -> bytes:
        del key
        return wrapped[::-1]


@pytest.fixture(scope="module")
def mirrored(tmp_path_factory: pytest.TempPathFactory) -> DataKeyring:
    master = LocalKeyring(tmp_path_factory.mktemp("keys") / "master.key")
    return DataKeyring(master, own=Mirror(), foreign=Mirror())


@given(st.data())
def test_a_flipped_bit_is_never_taken_for_a_key(mirrored: DataKeyring, data: st.DataObject) -> None:
    wrapped = bytearray(mirrored.wrap(DATA_KEY, VAULT, KEK))
    bit = data.draw(st.integers(0, len(wrapped) * 8 - 1))
    wrapped[bit // 8] ^= 1 << bit % 8
    with pytest.raises((WrappedKeyDamaged, WrongKey)):
        mirrored.unwrap(bytes(wrapped), VAULT)


@pytest.mark.parametrize(
    "text",
    ["keyvault:kv1/keys/kek", "keyvault:kv1/keys/kek/0a1b", "https://kv1.vault.azure.net/keys/kek/0a1b"],
)
def test_a_key_id_is_read_as_it_was_written(text: str) -> None:
    assert str(KeyId.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kek",
        "keyvault:kv1",
        "keyvault:kv1/keys",
        "http://kv1.vault.azure.net/keys/kek",
        "https://kv1/secrets/s",
        "https://kv1/keys/a/b/c",
    ],
)
def test_what_names_no_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidValue, match="/keys/NAME"):
        KeyId.parse(text)
