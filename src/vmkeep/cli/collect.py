"""The body of `vmkeep doctor --collect`: an archive of logs and evidence of one VM, written where it was asked for."""

import io
import json
import os
import tarfile
from contextlib import suppress
from pathlib import Path

import typer

from vmkeep.base.clock import SystemClock
from vmkeep.base.errors import InvalidValue
from vmkeep.base.units import format_size
from vmkeep.cli.options import Output
from vmkeep.cli.printing import local_time, print_facts
from vmkeep.client.backup import Backup
from vmkeep.client.session import Json


def collect_logs(backup: Backup, vm: str, folder: Path, output: Output) -> None:
    """Write a VM's archive into a folder and say what is in it; exits with 1 when the guest's files are not.

    Raises InvalidValue when it cannot be written; nothing is left behind then, and no file is overwritten.
    """
    machine = backup.machine(vm)
    data = backup.collect(machine)
    archive = folder.absolute() / f"{machine['name']}-{SystemClock().now():%Y%m%dT%H%M%SZ}.tar.gz"
    _write_private(archive, data)
    manifest = _read_manifest(data)
    taken = sum("left_out" not in file for file in manifest["files"])
    facts = [
        ("Archive", str(archive)),
        ("Size", format_size(len(data))),
        ("Guest's files", f"{taken}, from {manifest['origin']}" if manifest["origin"] else "none"),
        ("As of", local_time(manifest["moment"])),
        *(("Not reached", why) for why in manifest["unreached"]),
    ]
    told = {"archive": str(archive), "sizeBytes": len(data), "files": taken}
    told |= {key: manifest[key] for key in ("origin", "moment", "unreached")}
    print_facts(output, facts, told)
    if not manifest["origin"]:
        raise typer.Exit(1)


def _read_manifest(data: bytes) -> Json:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        packed = tar.extractfile("manifest.json")
        manifest: Json = json.load(packed) if packed is not None else {}
        return manifest


def _write_private(path: Path, data: bytes) -> None:
    """Write a new file that only its owner may read. Raises InvalidValue."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise _unwritten(path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as archive:
            archive.write(data)
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise _unwritten(path, error) from error


def _unwritten(path: Path, error: OSError) -> InvalidValue:
    return InvalidValue("folder", str(path.parent), f"{path.name} cannot be written: {error.strerror}")
