"""What key vaults promise to backups of encrypted VMs: our own, and those elsewhere that are reached over HTTPS."""

from dataclasses import dataclass, replace
from itertools import combinations
from typing import NoReturn

import pytest

from tests.arm.keyvault.conftest import Sdk, localhost_names, sdk
from tests.keyvault.conftest import scene
from tests.keyvault.scenes import EVERYTHING, ME, NOTHING, Scene
from vmkeep.base.errors import Retry, VmkeepError
from vmkeep.keyvault.azure_secrets import AzureSecrets
from vmkeep.keyvault.errors import RightsNotOurs
from vmkeep.keyvault.key_vaults import KeyVaults
from vmkeep.keyvault.rights import BACKUP_SERVICE, AccessPolicy
from vmkeep.keyvault.secret_entries import Secrets
from vmkeep.model.disk_key import KeyReference
from vmkeep.server.disk_key_vaults import DiskKeyVaults, OwnDiskKeys
from vmkeep.workflows.ports import KeyVaultPort

__all__ = ["localhost_names", "scene", "sdk"]

NEEDED = ("get", "list", "backup")


@dataclass
class Place:
    """A key vault `kv1` as its owner sees it, and as backups do."""

    port: KeyVaultPort
    key_vaults: KeyVaults
    identity: str
    reference: KeyReference

    def permit(self, rights: tuple[str, ...]) -> None:
        """Let backups do this with secrets."""
        policy = AccessPolicy(self.identity, "tenant", {"keys": NEEDED, "secrets": rights})
        self.key_vaults.change(replace(self.key_vaults.get("kv1"), policies=(EVERYTHING, policy)))

    @property
    def secrets(self) -> Secrets:
        return self.key_vaults.secrets("kv1", ME)

    def keep(self, passphrase: str) -> str:
        """Keep it as the secret's next version, with all rights given; returns the version."""
        self.permit(NEEDED)
        return self.secrets.set("os-key", passphrase, content_type=None, change=NOTHING).id


def own(request: pytest.FixtureRequest) -> Place:
    made: Scene = request.getfixturevalue("scene")
    return Place(OwnDiskKeys(made.key_vaults), made.key_vaults, BACKUP_SERVICE, KeyReference("kv1", "os-key"))


def elsewhere(request: pytest.FixtureRequest) -> Place:
    there: Sdk = request.getfixturevalue("sdk")
    reference = KeyReference.parse(there.create().properties.vault_uri, "os-key")
    port = AzureSecrets(there.client_id, there.credential, connection_verify=there.trust)
    return Place(port, there.running.key_vaults, there.client_id, reference)


@pytest.fixture(params=[own, elsewhere], ids=lambda make: make.__name__)
def place(request: pytest.FixtureRequest) -> Place:
    """One kind of key vault, asked through the port that knows them all."""
    made: Place = request.param(request)
    if request.param is own:
        return replace(made, port=DiskKeyVaults(own=made.port, elsewhere=Unasked()))
    return replace(made, port=DiskKeyVaults(own=Unasked(), elsewhere=made.port))


class Unasked:
    """A key vault that a reference did not mean."""

    def find_rights(self, reference: KeyReference) -> NoReturn:
        raise AssertionError(reference)

    def fetch(self, reference: KeyReference) -> NoReturn:
        raise AssertionError(reference)

    def grant(self, reference: KeyReference) -> NoReturn:
        raise AssertionError(reference)

    def grant_key(self, key: str) -> NoReturn:
        raise AssertionError(key)


def test_every_missing_right_is_named_with_the_identity_and_the_command_that_grants_it(place: Place) -> None:
    place.keep("secret")
    for count in range(len(NEEDED) + 1):
        for missing in combinations(NEEDED, count):
            place.permit(tuple(right for right in NEEDED if right not in missing))
            found = place.port.find_rights(place.reference)
            assert found is not None
            assert found.identity == place.identity
            assert found.missing == tuple(f"secrets {right}" for right in missing)
            if missing:
                assert found.grant.startswith(
                    f"vmkeep keyvault set-policy --name kv1 --object-id {place.identity} "
                )
                assert all(f"--secret-permissions {right}" in found.grant for right in NEEDED)


def test_rights_are_granted_or_the_owner_is_told_how(place: Place) -> None:
    place.keep("secret")
    place.permit(("get",))
    if place.reference.is_elsewhere:
        with pytest.raises(RightsNotOurs, match="which is not its own") as refused:
            place.port.grant(place.reference)
        assert "--secret-permissions backup" in refused.value.advice
        assert missing_rights(place) == ("secrets list", "secrets backup")
    else:
        place.port.grant(place.reference)
        assert missing_rights(place) == ()


def test_newest_version_is_fetched_and_so_is_one_put_back_from_its_own_backup(place: Place) -> None:
    place.keep("first")
    version = place.keep("second")
    found = place.port.fetch(place.reference)
    assert (found.version, found.passphrase) == (version, "second")
    assert "second" not in repr(found)
    place.secrets.delete("os-key")
    place.secrets.purge("os-key")
    place.secrets.restore(found.secret_backup)
    assert place.port.fetch(place.reference).passphrase == "second"


def test_nothing_is_fetched_without_the_right(place: Place) -> None:
    place.keep("first")
    for absent, rights in (("get", ("list", "backup")), ("backup", ("get", "list"))):
        place.permit(rights)
        with pytest.raises(VmkeepError, match=f"secrets {absent} permission") as raised:
            place.port.fetch(place.reference)
        assert raised.value.retry is Retry.AFTER_CHANGE


def test_secret_that_is_not_there_or_disabled_is_no_missing_right(place: Place) -> None:
    place.permit(NEEDED)
    for trouble in ("not found", "disabled secret"):
        with pytest.raises(VmkeepError, match=trouble) as raised:
            place.port.fetch(place.reference)
        assert raised.value.retry is not Retry.LATER
        assert missing_rights(place) == ()
        version = place.keep("first")
        place.secrets.update("os-key", version, content_type=None, change=replace(NOTHING, enabled=False))


def missing_rights(place: Place) -> tuple[str, ...]:
    """Return what is said to be missing; a key vault may say instead that the secret is not usable."""
    try:
        found = place.port.find_rights(place.reference)
    except VmkeepError as error:
        if error.code != "SecretUnusable":
            raise
        return ()
    assert found is not None
    return found.missing
