"""What the local keyring promises."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmkeep.keyvault import LocalKeyring
from vmkeep.keyvault.errors import MasterKeyUnsafe, MasterKeyUnusable, WrongKey

DATA_KEY = bytes(range(32))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "master.key"


def test_wrapped_key_comes_back_also_after_a_restart(path: Path) -> None:
    wrapped = LocalKeyring(path).wrap(DATA_KEY, "vault v-1")
    assert DATA_KEY not in wrapped
    assert LocalKeyring(path).unwrap(wrapped, "vault v-1") == DATA_KEY


def test_same_key_is_never_wrapped_to_the_same_bytes(path: Path) -> None:
    keyring = LocalKeyring(path)
    assert keyring.wrap(DATA_KEY, "v") != keyring.wrap(DATA_KEY, "v")


def test_master_key_is_for_its_owner_only(path: Path) -> None:
    LocalKeyring(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_passphrase_seals_the_master_key(path: Path) -> None:
    wrapped = LocalKeyring(path, b"correct horse").wrap(DATA_KEY, "v")
    assert LocalKeyring(path, b"correct horse").unwrap(wrapped, "v") == DATA_KEY
    for passphrase, why in ((b"battery staple", "another passphrase"), (b"", "passphrase_file")):
        with pytest.raises(MasterKeyUnusable, match=why):
            LocalKeyring(path, passphrase)


def test_a_master_key_is_sealed_when_a_passphrase_comes_later(path: Path) -> None:
    wrapped = LocalKeyring(path).wrap(DATA_KEY, "v")
    bare = path.read_text().strip()
    assert LocalKeyring(path, b"late").unwrap(wrapped, "v") == DATA_KEY
    assert bare not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600
    assert LocalKeyring(path, b"late").unwrap(wrapped, "v") == DATA_KEY
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_master_key_that_others_can_read_is_refused(path: Path, mode: int) -> None:
    LocalKeyring(path)
    path.chmod(mode)
    with pytest.raises(MasterKeyUnsafe, match=oct(mode)):
        LocalKeyring(path)


@pytest.mark.parametrize("content", ["", "no key", "00ff"])
def test_file_that_is_no_master_key_is_refused_and_left_alone(path: Path, content: str) -> None:
    path.write_text(content)
    path.chmod(0o600)
    with pytest.raises(MasterKeyUnusable):
        LocalKeyring(path)
    assert path.read_text() == content


def test_folder_that_is_not_there_is_said_in_words(tmp_path: Path) -> None:
    with pytest.raises(MasterKeyUnusable, match="No such file"):
        LocalKeyring(tmp_path / "none" / "master.key")


def test_another_master_key_opens_nothing(path: Path) -> None:
    wrapped = LocalKeyring(path).wrap(DATA_KEY, "vault v-1")
    path.unlink()
    with pytest.raises(WrongKey, match="vault v-1") as wrong:
        LocalKeyring(path).unwrap(wrapped, "vault v-1")
    assert "Put back the master key" in wrong.value.advice


def test_key_wrapped_for_one_vault_does_not_open_for_another(path: Path) -> None:
    keyring = LocalKeyring(path)
    with pytest.raises(WrongKey):
        keyring.unwrap(keyring.wrap(DATA_KEY, "vault v-1"), "vault v-2")


def test_several_first_starts_agree_on_one_master_key(path: Path) -> None:
    with ThreadPoolExecutor(8) as threads:
        first, *others = threads.map(lambda _: LocalKeyring(path), range(8))
    wrapped = first.wrap(DATA_KEY, "v")
    assert all(other.unwrap(wrapped, "v") == DATA_KEY for other in others)


@given(position=st.integers(0, 60), bit=st.integers(0, 7))
def test_no_bit_of_a_wrapped_key_can_be_changed(
    tmp_path_factory: pytest.TempPathFactory, position: int, bit: int
) -> None:
    keyring = LocalKeyring(tmp_path_factory.mktemp("keys") / "master.key")
    wrapped = bytearray(keyring.wrap(DATA_KEY, "v"))
    wrapped[position] ^= 1 << bit
    with pytest.raises(WrongKey):
        keyring.unwrap(bytes(wrapped), "v")


@given(st.binary(max_size=40))
def test_garbage_is_no_wrapped_key(tmp_path_factory: pytest.TempPathFactory, garbage: bytes) -> None:
    keyring = LocalKeyring(tmp_path_factory.mktemp("keys") / "master.key")
    with pytest.raises(WrongKey):
        keyring.unwrap(garbage, "v")
