"""Key vaults on the command line."""

import json
import re
from pathlib import Path

import pytest

from tests.arm.running import Running
from tests.cli.conftest import Vmkeep
from vmkeep.keyvault.key_id import KeyId


@pytest.fixture
def kv1(vmkeep: Vmkeep) -> Vmkeep:
    """A key vault `kv1` with a key `backup` and a secret `disk`."""
    assert "https://kv1.vault.localhost:" in vmkeep("keyvault", "create", "--name", "kv1").output
    vmkeep("keyvault", "key", "create", "--vault-name", "kv1", "--name", "backup")
    vmkeep("keyvault", "secret", "set", "--vault-name", "kv1", "--name", "disk", "--value", "open sesame")
    return vmkeep


def key(*arguments: str) -> tuple[str, ...]:
    return "keyvault", "key", *arguments, "--vault-name", "kv1", "--name", "backup"


def secret(*arguments: str) -> tuple[str, ...]:
    return "keyvault", "secret", *arguments, "--vault-name", "kv1", "--name", "disk"


def test_key_vaults_and_rights_are_shown(kv1: Vmkeep) -> None:
    assert "kv1" in kv1("keyvault", "list").output
    kv1("keyvault", "set-policy", "--name", "kv1", "--backup-service")
    assert "backup service: keys get, wrapKey, unwrapKey" in kv1("keyvault", "show", "--name", "kv1").output
    kv1("keyvault", "set-policy", "-n", "kv1", "--object-id", "other", "--secret-permissions", "get")
    assert "other: secrets get" in kv1("keyvault", "show", "--name", "kv1").output
    shown = kv1("keyvault", "delete-policy", "--name", "kv1", "--backup-service").output
    assert "backup service" not in shown
    refused = kv1("keyvault", "delete-policy", "--name", "kv1", "--backup-service", fails=True).stderr
    assert "there is no access policy" in refused


def test_a_secret_is_printed_when_it_is_asked_for_only(kv1: Vmkeep, tmp_path: Path) -> None:
    (tmp_path / "next").write_text("open barley")
    assert "open" not in kv1(*secret("set", "--file", str(tmp_path / "next"))).output
    assert "open" not in kv1("keyvault", "secret", "list", "--vault-name", "kv1").output
    assert "open barley" in kv1(*secret("show")).output
    assert "No such file" in kv1(*secret("set", "--file", str(tmp_path / "none")), fails=True).stderr
    versions = json.loads(kv1(*secret("list-versions", "-o", "json")).output)
    first = versions[-1]["id"].rsplit("/", 1)[1]
    assert "open sesame" in kv1(*secret("show", "--version", first)).output
    kv1(*secret("set-attributes", "--disabled"))
    assert "disabled secret" in kv1(*secret("show"), fails=True).stderr


def test_what_is_deleted_comes_back_from_a_recovery_or_a_backup(kv1: Vmkeep, tmp_path: Path) -> None:
    kv1(*key("backup", "--file", str(tmp_path / "blob")))
    assert (tmp_path / "blob").stat().st_mode & 0o777 == 0o600
    assert "File exists" in kv1(*key("backup", "--file", str(tmp_path / "blob")), fails=True).stderr
    kv1(*key("delete"))
    assert "backup" in kv1("keyvault", "key", "list-deleted", "--vault-name", "kv1").output
    kv1(*key("recover"))
    kv1(*key("delete"))
    kv1(*key("purge", "--yes"))
    restore = ("keyvault", "key", "restore", "--vault-name", "kv1", "--file", str(tmp_path / "blob"))
    assert "backup" in kv1(*restore).output
    assert "already there" in kv1(*restore, fails=True).stderr
    kv1("keyvault", "delete", "--name", "kv1")
    assert "kv1" in kv1("keyvault", "list-deleted").output
    kv1("keyvault", "recover", "--name", "kv1")
    assert "open sesame" in kv1(*secret("show")).output


def test_a_vault_is_given_a_key_and_takes_the_master_key_back(kv1: Vmkeep, running: Running) -> None:
    shown = json.loads(kv1(*key("show", "-o", "json")).output)
    url = re.sub(r"/[0-9a-f]+$", "", shown["key"]["kid"])
    kv1("vault", "create", "main", "--encryption-key-id", url)
    [vault] = running.catalog.list_vaults()
    assert running.repositories.keys[vault.id] == KeyId.own("kv1", "backup")
    kv1("vault", "encryption", "update", "main", "--master-key")
    assert running.repositories.keys[vault.id] is None
    assert "master key" in kv1("vault", "encryption", "show", "main").output
    kv1("vault", "encryption", "update", "main", fails=True)
    refused = kv1("vault", "encryption", "update", "main", "--encryption-key-id", "nonsense", fails=True)
    assert "https://KEY-VAULT/keys/NAME" in " ".join(refused.stderr.split())
