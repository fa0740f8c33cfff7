"""Making the file of a layer ourselves: for VMs with encrypted disks."""

from pathlib import Path

import structlog

from vmkeep.fabric import qemu_img
from vmkeep.fabric.chain import Image
from vmkeep.fabric.encryption_errors import DiskKeyMissing, KeyNotTimed
from vmkeep.fabric.extents import map_images
from vmkeep.fabric.tool_secret import NAME
from vmkeep.model.restore_point import CapturedDisk

log = structlog.get_logger()

KEY_TIME_MS = 250
"""How long QEMU derives the key of a layer's header from the passphrase, here a million rounds of PBKDF2-SHA-256.

QEMU's own 2000 ms stop the guest that long, disk by disk, whenever a layer is opened: at each backup, at each start.
"""
KEY_ATTEMPTS = 20


def create_layer(disk: CapturedDisk, key: str | None) -> None:
    """Create the empty file of a layer, encrypted with the disk's key when the disk is.

    Raises DiskKeyMissing, DiskKeyWrong, ImageUnreadable.
    """
    create = ["create", "-q", "-u", "-f", "qcow2", "-b", disk.path, "-F", disk.format]
    if disk.secret_uuid:
        if key is None:
            raise DiskKeyMissing(disk.path)
        frozen = Image(disk.path, disk.format, disk.size_bytes, encrypted=True)
        map_images(
            [frozen], size_bytes=disk.size_bytes, key=key
        )  # a wrong key is found here, not in a restore
        create += ["-o", encryption_options("encrypt.")]
    Path(disk.active_path).touch(mode=0o600, exist_ok=False)
    create_encrypted([*create, disk.active_path, str(disk.size_bytes)], path=disk.active_path, key=key)


def encryption_options(prefix: str) -> str:
    """Return qemu-img's options for a new image in LUKS: those of qcow2 begin with `encrypt.`."""
    options = {"key-secret": NAME, "iter-time": str(KEY_TIME_MS)}
    if prefix:
        options["format"] = "luks"
    return ",".join(f"{prefix}{name}={value}" for name, value in options.items())


def create_encrypted(arguments: list[str], *, path: str, key: str | None) -> None:
    """Run a `qemu-img create`; a failure removes the file. Raises as `qemu_img.run`.

    QEMU times its key derivation by the thread's CPU clock and gives up when that has not moved: another attempt works.
    """
    try:
        for attempt in range(1, KEY_ATTEMPTS + 1):
            try:
                qemu_img.run(arguments, path=path, key=key)
            except KeyNotTimed:
                if attempt == KEY_ATTEMPTS:
                    raise
                log.debug("fabric.layer.key_not_timed", path=path, attempt=attempt)
                Path(path).touch(mode=0o600)
            else:
                return
    except BaseException:
        Path(path).unlink(missing_ok=True)
        raise
