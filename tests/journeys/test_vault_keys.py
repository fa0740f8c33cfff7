"""A vault opened by a key of a key vault: revoked, given back, rotated; nothing that is stored is written again."""

from pathlib import Path

import pytest

from tests.journeys.service import JobSeen, RunningService
from tests.lab.guest import Guest
from tests.lab.lab import Lab

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(900)]
CANARY = "canary-3f0e8b6d"
PROOF = b"kept under the first version of the key"


def test_a_vault_is_shut_while_its_key_is_revoked_and_follows_its_rotation(
    service: RunningService, guest: Guest, lab: Lab
) -> None:
    key = ("--vault-name", "kv1", "--name", "backup")
    service.ask("keyvault", "create", "--name", "kv1")
    service.ask("keyvault", "secret", "set", "--vault-name", "kv1", "--name", "disk", "--value", CANARY)
    made = service.ask("keyvault", "key", "create", *key, "--size", "3072")
    url = made["key"]["kid"].rsplit("/", 1)[0]
    create = ("vault", "create", "main", "--encryption-key-id", url)
    assert "UserErrorCMKMissingMangedIdentityPermissionOnKeyVault" in service.refusal(*create)
    permit = ("keyvault", "set-policy", "--name", "kv1", "--backup-service")
    revoke = ("keyvault", "delete-policy", "--name", "kv1", "--backup-service")
    service.ask(*permit)
    service.ask(*create)
    service.ask("protection", "enable-for-vm", "--vm", guest.name)
    guest.run("systemctl", "stop", "walinuxagent")  # without it a backup takes two seconds, not ten
    guest.write_file("/data/proof", PROOF)
    assert service.backup_now(guest.name).status == "CompletedWithWarnings"
    stored = written(service)
    assert stored

    service.ask(*revoke)
    for refused in (service.backup_now(guest.name), restore(service, guest, lab.new_folder("refused"))):
        assert (refused.status, refused.error) == (
            "Failed",
            "UserErrorCMKMissingMangedIdentityPermissionOnKeyVault",
        )
        assert "vmkeep keyvault set-policy --name kv1" in refused.message
    service.ask(*permit)

    rotated = service.ask("keyvault", "key", "rotate", *key)["key"]["kid"]
    assert service.backup_now(guest.name).status == "CompletedWithWarnings"
    in_use = service.ask("vault", "encryption", "show", "main")["properties"]["vmkeep"]["keyInUse"]
    assert (in_use, in_use == made["key"]["kid"]) == (rotated, False)
    assert {path: when for path, when in written(service).items() if path in stored} == stored
    first = made["key"]["kid"].rsplit("/", 1)[1]
    service.ask("keyvault", "key", "set-attributes", *key, "--version", first, "--disabled")

    out = lab.new_folder("out")
    service.stop()
    service.start()
    assert restore(service, guest, out).status == "Completed"
    assert PROOF in (out / "vdb.raw").read_bytes()
    for path in (service.log, *service.state_dir.rglob("*")):
        assert not path.is_file() or CANARY.encode() not in path.read_bytes(), path


def restore(service: RunningService, guest: Guest, out: Path) -> JobSeen:
    oldest = service.points(guest.name)[-1]
    where = ("--to", str(out), "--format", "raw", "--disk", "vdb", "--tier", "vault")
    return service.job("restore", "disks", "--vm", guest.name, "--recovery-point", oldest, *where)


def written(service: RunningService) -> dict[Path, int]:
    """Return when each file of data in the repository was written."""
    return {path: path.stat().st_mtime_ns for path in (service.state_dir / "vaults").glob("*/pack/*/*")}
