"""A VM whose OS disk is encrypted: from the key vault's refusal to a restore on a host that never saw the key."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.arm.running import run_service
from tests.fabric.encrypted_vm import PASSPHRASE, SECRET_UUID, define_secret
from tests.journeys.service import RunningService
from tests.lab.guest import Guest
from tests.lab.lab import Lab
from tests.lab.tools import run
from vmkeep.client.credentials import Credentials, read_credentials

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900)]

MESSAGE = "Backup doesn't have sufficient permissions to the key vault for backup of encrypted VMs."
PERMISSIONS = [
    f"--{kind}-permissions={right}" for kind in ("key", "secret") for right in ("get", "list", "backup")
]


@pytest.fixture
def there(lab: Lab) -> Iterator[Credentials]:
    """How to log in to another installation, whose key vaults are elsewhere."""
    hosts = lab.new_folder("names") / "hosts"
    hosts.write_text("127.0.0.1 localhost kv9.vault.localhost\n")
    run("mount", "--bind", hosts, "/etc/hosts")
    with run_service(lab.new_folder("elsewhere")) as elsewhere:
        yield read_credentials(elsewhere.ready.client_file)
    run("umount", "/etc/hosts")


@pytest.fixture
def service(lab: Lab, there: Credentials) -> Iterator[RunningService]:
    """`vmkeep up`, which can log in to the other installation."""
    log_in = {
        "AZURE_AUTHORITY_HOST": there.url,
        "AZURE_TENANT_ID": there.tenant,
        "AZURE_CLIENT_ID": there.client_id,
        "AZURE_CLIENT_SECRET": there.client_secret,
        "REQUESTS_CA_BUNDLE": str(there.ca_file),
    }
    service = RunningService(lab.new_folder("service") / "state", log_in)
    service.start()
    yield service
    service.stop()


@pytest.fixture
def encrypted_guest(lab: Lab) -> Guest:
    """The guest on an OS disk in LUKS, whose key nobody can read back from libvirt."""
    define_secret(lab.connection, PASSPHRASE)
    return lab.restore_guest(os_secret=(SECRET_UUID, PASSPHRASE))


def test_encrypted_guest_is_backed_up_by_permission_and_restored_without_its_key_vault(
    service: RunningService, there: Credentials, encrypted_guest: Guest, lab: Lab
) -> None:
    guest = encrypted_guest
    service.ask("vault", "create", "main")
    service.ask("protection", "enable-for-vm", "--vm", guest.name)
    assert service.backup_now(guest.name).error == "DiskKeyNotNamed"

    service.ask("keyvault", "create", "--name", "kv1")
    service.ask("keyvault", "secret", "set", "--vault-name", "kv1", "--name", "os-key", "--value", PASSPHRASE)
    named = ("--disk-encryption-keyvault", "kv1", "--secret", "os-key")
    [disk] = service.ask("vm", "encryption", "set", guest.name, *named)
    assert (disk["name"], disk["key"]) == ("vda", {"keyVault": "kv1", "secret": "os-key"})

    refused = service.backup_now(guest.name)
    assert refused.error == "UserErrorKeyvaultPermissionsNotConfigured"
    assert refused.message.startswith(MESSAGE)
    assert "On the key vault 'kv1'" in refused.message
    assert "secrets backup" in refused.message
    assert service.verdict(refused).startswith("proven K1")
    assert service.points(guest.name) == []

    service.ask("keyvault", "set-policy", "--name", "kv1", "--backup-service", *PERMISSIONS)
    first = service.backup_now(guest.name)
    assert (first.status, first.error) == ("Completed", "")
    guest.run("sh", "-c", "head -c 3000000 /dev/urandom > /root/proof; sync")
    digest = guest.digest("/root/proof")
    second = service.backup_now(guest.name)
    assert second.status == "Completed"
    assert int(second.facts["Bytes Read"]) < int(first.facts["Bytes Read"]) / 4
    loses_and_regains_its_key(service, guest, lab.new_folder("kept") / "os-key.secret")
    takes_its_key_from_elsewhere(service, there, guest)
    guest.power_off()
    guest.domain.undefine()

    service.ask("keyvault", "delete", "--name", "kv1")
    service.ask(*at(there), "keyvault", "delete", "--name", "kv9")
    lab.connection.secretLookupByUUIDString(SECRET_UUID).undefine()
    newest, *_ = service.ask("recoverypoint", "list", "--vm", guest.name)
    assert newest["properties"]["isSourceVMEncrypted"]
    job = service.job(
        "restore", "vm", "--vm", guest.name, "--recovery-point", newest["name"], "--name", "alpha-restored"
    )
    assert (job.status, job.error) == ("Completed", "")
    restored = lab.get_guest("alpha-restored")
    assert is_encrypted(restored.disks["vda"])
    restored.boot()
    assert restored.digest("/root/proof") == digest
    assert leaks(service) == []


def loses_and_regains_its_key(service: RunningService, guest: Guest, blob: Path) -> None:
    """Rights are revoked and given back; the secret is purged and put back from its own backup."""
    service.ask("keyvault", "delete-policy", "--name", "kv1", "--backup-service")
    assert service.backup_now(guest.name).error == "UserErrorKeyvaultPermissionsNotConfigured"
    service.ask("keyvault", "set-policy", "--name", "kv1", "--backup-service", *PERMISSIONS)
    secret = ("--vault-name", "kv1", "--name", "os-key")
    service.ask("keyvault", "secret", "backup", *secret, "--file", str(blob))
    service.ask("keyvault", "secret", "delete", *secret)
    assert service.backup_now(guest.name).error == "DiskKeyUnavailable"
    service.ask("keyvault", "secret", "purge", *secret, "--yes")
    service.ask("keyvault", "secret", "restore", "--vault-name", "kv1", "--file", str(blob))
    assert service.backup_now(guest.name).status == "Completed"


def at(there: Credentials) -> tuple[str, str]:
    """Return what has the command line ask another installation."""
    return ("--client-file", str(there.ca_file.with_name("local-client.json")))


def takes_its_key_from_elsewhere(service: RunningService, there: Credentials, guest: Guest) -> None:
    """The key moves to another installation's key vault, whose refusal says how to grant what is missing there."""
    secret = ("--vault-name", "kv9", "--name", "moved-key")
    url = service.ask(*at(there), "keyvault", "create", "--name", "kv9")["properties"]["vaultUri"].rstrip("/")
    service.ask(*at(there), "keyvault", "secret", "set", *secret, "--value", PASSPHRASE)
    service.ask(*at(there), "keyvault", "delete-policy", "--name", "kv9", "--object-id", there.client_id)
    service.ask("vm", "encryption", "set", guest.name, "--secret", f"{url}/secrets/moved-key")

    refused = service.backup_now(guest.name)
    assert refused.error == "UserErrorKeyvaultPermissionsNotConfigured", refused.message
    lacking = (
        f"'{url}', the backup service '{there.client_id}' lacks secrets get, secrets list, secrets backup"
    )
    assert lacking in refused.message
    granting, _, _ = refused.message.partition("Grant them: vmkeep ")[2].partition(",")
    service.ask(*at(there), *granting.split())
    last = service.backup_now(guest.name)
    assert (last.status, last.error) == ("Completed", ""), last.message


def leaks(service: RunningService) -> list[Path]:
    """Return the service's files that show the passphrase: log, databases, journals, repository."""
    files = (service.log, *service.state_dir.rglob("*"))
    return [path for path in files if path.is_file() and PASSPHRASE.encode() in path.read_bytes()]


def is_encrypted(path: Path) -> bool:
    told = subprocess.run(
        ["qemu-img", "info", "-U", "--output=json", path], check=True, capture_output=True, text=True
    )
    return bool(json.loads(told.stdout).get("encrypted"))
