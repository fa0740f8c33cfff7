"""What backups of encrypted VMs may do in our own key vaults, and what they get there."""

from pathlib import Path

import pytest

from tests.keyvault.conftest import scene
from tests.keyvault.scenes import NOTHING, Scene, key_vault
from vmkeep.keyvault.errors import EntryNotFound, MissingRight
from vmkeep.keyvault.rights import BACKUP_SERVICE, AccessPolicy
from vmkeep.model.disk_key import KeyReference
from vmkeep.server.disk_key_vaults import OwnDiskKeys

__all__ = ["scene"]

REFERENCE = KeyReference("kv1", "os-key")
NEEDED = ("get", "list", "backup")


def permit(scene: Scene, **rights: tuple[str, ...]) -> OwnDiskKeys:
    policy = AccessPolicy(BACKUP_SERVICE, "tenant", rights)
    scene.key_vaults.change(key_vault("kv1", policy))
    return OwnDiskKeys(scene.key_vaults)


def test_every_missing_right_is_named_and_granting_takes_none_away(scene: Scene) -> None:
    found = permit(scene, keys=("get", "wrapKey", "unwrapKey"), secrets=NEEDED).find_rights(REFERENCE)
    assert found is not None
    assert found.missing == ("keys list", "keys backup")
    granted = " ".join(
        f"--key-permissions {one}" for one in ("get", "wrapKey", "unwrapKey", "list", "backup")
    )
    assert found.grant == f"vmkeep keyvault set-policy --name kv1 --object-id {BACKUP_SERVICE} {granted}"


def test_needed_rights_or_all_are_enough(scene: Scene) -> None:
    for rights in (NEEDED, ("all",)):
        found = permit(scene, keys=rights, secrets=rights).find_rights(REFERENCE)
        assert found is not None
        assert found.missing == ()


def test_key_vault_that_is_not_there_has_no_rights(scene: Scene) -> None:
    assert OwnDiskKeys(scene.key_vaults).find_rights(KeyReference("none", "os-key")) is None


def test_newest_version_is_fetched_with_a_backup_that_any_key_vault_restores(scene: Scene) -> None:
    for passphrase in ("first", "second"):
        newest = scene.secrets.set("os-key", passphrase, content_type=None, change=NOTHING)
    found = permit(scene, secrets=NEEDED).fetch(REFERENCE)
    assert (found.version, found.passphrase) == (newest.id, "second")
    assert "second" not in repr(found)
    scene.key_vaults.create(key_vault("kv2"))
    scene.key_vaults.secrets("kv2", "me").restore(found.secret_backup)
    assert scene.key_vaults.secrets("kv2", "me").reveal("os-key")[1] == "second"


def test_nothing_is_fetched_without_the_right(scene: Scene) -> None:
    with pytest.raises(MissingRight):
        permit(scene, secrets=("list",)).fetch(REFERENCE)
    with pytest.raises(EntryNotFound):
        permit(scene, secrets=NEEDED).fetch(REFERENCE)


def test_secret_put_back_from_its_own_backup_is_fetched_as_before(scene: Scene, tmp_path: Path) -> None:
    scene.secrets.set("os-key", "first", content_type=None, change=NOTHING)
    backup = tmp_path / "os-key"
    backup.write_bytes(scene.secrets.backup("os-key"))
    scene.secrets.delete("os-key")
    scene.secrets.purge("os-key")
    key_vaults = permit(scene, secrets=NEEDED)
    with pytest.raises(EntryNotFound):
        key_vaults.fetch(REFERENCE)
    scene.secrets.restore(backup.read_bytes())
    assert key_vaults.fetch(REFERENCE).passphrase == "first"
