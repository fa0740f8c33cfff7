"""An idle VM whose disks are encrypted by QEMU: `vda` qcow2 with LUKS, `sda` LUKS alone."""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import libvirt

from tests.fabric.idle_vm import UUID, XML, IdleVm
from tests.fabric.on_guests import qemu_img
from tests.lab.lab import Lab

PASSPHRASE = "correct horse"
KEYS: Mapping[str, str] = {"vda": PASSPHRASE, "sda": PASSPHRASE}
SECRET_UUID = "5ec00000-77cc-4c6b-9d52-0a7700000001"
ENCRYPTION = f"<encryption format='luks'><secret type='passphrase' uuid='{SECRET_UUID}'/></encryption>"
QUICK = "iter-time=10"
"""Milliseconds for the key of a test's image."""


class EncryptedVm(IdleVm):
    """Two disks of 16 MiB that only libvirt's secret opens."""

    def __init__(self, lab: Lab) -> None:
        self.uuid = UUID
        self.folder = lab.new_folder("encrypted")
        define_secret(lab.connection, PASSPHRASE)
        for name, image_format in (("os.qcow2", "qcow2"), ("data.raw", "luks")):
            made = lab.folder / f"encrypted-{name}"
            if not made.exists():  # a LUKS header takes seconds to make
                create_encrypted(made, image_format, "16M")
            shutil.copy(made, self.folder / name)
        xml = XML.format(uuid=UUID, folder=self.folder)
        for name in ("os.qcow2", "data.raw"):
            plain = f"<source file='{self.folder}/{name}'/>"
            xml = xml.replace(plain, f"{plain[:-2]}>{ENCRYPTION}</source>")
        self.domain = lab.connection.defineXML(xml)


def define_secret(connection: libvirt.virConnect, passphrase: str) -> None:
    """Give libvirt the key, as the host's administrator does: nobody can read it back."""
    secret = f"<secret ephemeral='yes' private='yes'><uuid>{SECRET_UUID}</uuid></secret>"
    connection.secretDefineXML(secret).setValue(passphrase.encode())


def secret_object(passphrase: str) -> str:
    return f"secret,id=key,data={passphrase}"


def create_encrypted(path: Path, image_format: str, size: str, passphrase: str = PASSPHRASE) -> None:
    """Create an empty encrypted image."""
    options = f"key-secret=key,{QUICK}"
    if image_format == "qcow2":
        options = f"encrypt.format=luks,encrypt.key-secret=key,encrypt.{QUICK}"
    secret = ("--object", secret_object(passphrase))
    try_until_timed("create", "-q", *secret, "-f", image_format, "-o", options, path, size)


def plain_copy(path: Path | str, copy: Path, passphrase: str = PASSPHRASE) -> Path:
    """What an encrypted image holds, decrypted by QEMU, as a raw file."""
    description = f"json:{describe(str(path))}"
    qemu_img("convert", "-U", "--object", secret_object(passphrase), "-O", "raw", description, copy)
    return copy


def describe(path: str) -> str:
    """Return QEMU's description of an encrypted image with all it stands on."""
    about = json.loads(qemu_img("info", "-U", "--output=json", path))
    spec = {"driver": about["format"], "file": {"driver": "file", "filename": path}}
    if about["format"] == "luks":
        spec["key-secret"] = "key"
    elif about.get("encrypted"):
        spec["encrypt"] = {"format": "luks", "key-secret": "key"}
    backing = about.get("full-backing-filename")
    if backing:
        spec["backing"] = json.loads(describe(backing))
    return json.dumps(spec)


def change_passphrase(path: str, old: str, new: str) -> None:
    """Put a new passphrase in the old one's place, as an administrator does while the VM is off."""
    secrets = ("--object", f"secret,id=old,data={old}", "--object", f"secret,id=new,data={new}")
    image = json.loads(describe(path))
    if "encrypt" in image:
        image["backing"], prefix = None, "encrypt."
    else:
        prefix = ""
    changes = (
        ("old", ("state=active", "new-secret=new", QUICK)),
        ("new", ("state=inactive", "old-secret=old")),
    )
    for opened_by, options in changes:
        alone = json.dumps(image).replace('"key"', f'"{opened_by}"')
        wanted = ",".join(f"{prefix}{option}" for option in options)
        try_until_timed("amend", *secrets, "-o", wanted, f"json:{alone}")


def try_until_timed(*arguments: str | Path) -> None:
    """Run qemu-img; QEMU now and then fails to time its key derivation."""
    for _attempt in range(20):
        try:
            qemu_img(*arguments)
        except subprocess.CalledProcessError as error:
            if "accurate CPU usage" not in error.stderr:
                raise
        else:
            return
    raise AssertionError(arguments)


@contextmanager
def encrypted_vm(lab: Lab, *, running: bool) -> Iterator[EncryptedVm]:
    vm = EncryptedVm(lab)
    if running:
        vm.domain.create()
    yield vm
    if vm.domain.isActive():
        vm.domain.destroy()
    vm.domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA)
    lab.connection.secretLookupByUUIDString(SECRET_UUID).undefine()
