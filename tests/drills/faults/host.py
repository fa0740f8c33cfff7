"""Faults on the host's side: the VM's state and disks, storage, limits, keys and other jobs."""

import subprocess
from pathlib import Path

from tests.drills.drill import Drill, Remedy, Scene
from tests.drills.faults.steps import NO_AGENT, NO_STATUS, SILENT_S
from tests.journeys.conftest import wait_for_agent
from tests.lab.cgroup import hold_cpu, lift_hold

LIMIT = "UserErrorRpCollectionLimitReached"


def lock_and_fill(scene: Scene) -> None:
    """Fill the collection under a lock, without the agent: a backup then takes two seconds."""
    fill(scene, locked=True)


def fill_only(scene: Scene) -> None:
    """Fill the collection without a lock."""
    fill(scene, locked=False)


def fill(scene: Scene, *, locked: bool) -> None:
    """Make 18 restore points."""
    scene.sh("systemctl stop walinuxagent")
    scene.service.backup_now(scene.guest.name)
    groups = [one["name"] for one in scene.service.ask("group", "list")]
    if locked:
        [group] = [name for name in groups if "AzureBackupRG" in name]
        scene.service.ask("lock", "create", "-n", "keep", "-t", "CanNotDelete", "--resource-group", group)
    for _ in range(17):
        scene.service.backup_now(scene.guest.name)
    scene.sh("systemctl start walinuxagent")
    wait_for_agent(scene.service, scene.guest)


def revoke_vault_key(scene: Scene) -> None:
    """Give the vault a key of a key vault, then take the backups' rights on it away."""
    ask = scene.service.ask
    ask("keyvault", "create", "--name", "kv1")
    key = ask("keyvault", "key", "create", "--vault-name", "kv1", "--name", "backup")
    ask("keyvault", "set-policy", "--name", "kv1", "--backup-service")
    url = key["key"]["kid"].rsplit("/", 1)[0]
    ask("vault", "encryption", "update", "main", "--encryption-key-id", url)
    ask("keyvault", "delete-policy", "--name", "kv1", "--backup-service")


def add_huge_disk(scene: Scene) -> None:
    """Plug in a sparse disk of 5 TB."""
    path = scene.lab.new_folder("huge") / "huge.raw"
    with path.open("wb") as file:
        file.truncate(5 * 1024**4)
    disk = f"<disk type='file'><driver name='qemu' type='raw'/><source file='{path}'/><target dev='vdc' bus='virtio'/></disk>"
    scene.guest.domain.attachDevice(disk)


def leave_huge_disk_out(scene: Scene) -> None:
    """Back up without it."""
    exclude = ("--disk-list-setting", "exclude", "--diskslist", "1")
    scene.service.ask("protection", "update-for-vm", "--vm", scene.guest.name, *exclude)


def pause(scene: Scene) -> None:
    """Stop the guest's CPUs."""
    scene.guest.pause()


def resume(scene: Scene) -> None:
    """Let the guest's CPUs go on."""
    scene.guest.resume()


def fill_storage(scene: Scene) -> None:
    """Leave 1 MiB beside the guest's disks, which themselves stay where they are."""
    folder = next(iter(scene.guest.disks.values())).parent
    behind = scene.lab.new_folder("behind")
    _mount("--bind", str(folder), str(behind))
    _mount("-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder))
    for file in behind.iterdir():
        Path(folder, file.name).touch()
        _mount("--bind", str(file), str(folder / file.name))


def empty_storage(scene: Scene) -> None:
    """Give the room back."""
    folder = next(iter(scene.guest.disks.values())).parent
    subprocess.run(["umount", "-l", "-R", str(folder)], check=True)


def _mount(*options: str) -> None:
    subprocess.run(["mount", *options], check=True)


def back_up_at_once(scene: Scene) -> None:
    """Leave another backup running: it waits for the agent's next look first, six seconds at most."""
    scene.service.backup_now(scene.guest.name, "--no-wait")


def await_jobs(scene: Scene) -> None:
    """Wait until no job runs."""
    for job in scene.service.ask("job", "list"):
        scene.service.run("job", "wait", job["name"])


def delete_collection(scene: Scene) -> None:
    """Delete all restore points."""
    scene.service.ask("restore-point", "collection", "delete", scene.guest.name, "--yes")


def starve(scene: Scene) -> None:
    """Give the guest work for both its CPUs, and a tenth of one of the host's."""
    scene.sh("for n in 1 2; do setsid sh -c 'while [ ! -e /run/enough ]; do :; done' >/dev/null 2>&1 & done")
    hold_cpu(scene.guest, percent=10)


def feed(scene: Scene) -> None:
    """Let the guest have what it wants again, and end its work."""
    lift_hold(scene.guest)
    scene.sh("touch /run/enough")


DRILLS = (
    Drill("V1 paused", "V1", ("UserErrorVmNotInDesirableState",), pause, resume),
    Drill("D1 disk of 5 TB", "D1", ("UserErrorUnsupportedDiskSize",), add_huge_disk, leave_huge_disk_out),
    Drill(
        "K1 vault's key revoked",
        "K1",
        ("UserErrorCMKMissingMangedIdentityPermissionOnKeyVault",),
        revoke_vault_key,
        remedy=Remedy.APPLY,
    ),
    Drill("R1 lock and 18 points", "R1", (LIMIT,), lock_and_fill, remedy=Remedy.APPLY),
    Drill("R2 18 points in an hour", "R2", (LIMIT,), fill_only, delete_collection),
    Drill("V3 storage full", "V3", ("HostStorageFull",), fill_storage, empty_storage),
    Drill("V2 starved of CPU", "V2", (NO_STATUS, NO_AGENT), starve, feed, settles_s=SILENT_S),
    Drill(
        "J1 another backup runs", "J1", ("UserErrorBackupOperationInProgress",), back_up_at_once, await_jobs
    ),
)
