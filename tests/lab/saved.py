"""Guests saved with their memory: booted once until the Azure agent is ready, then restored by every test.

A saved guest is a folder of the cache: `memory` (libvirt's save file), `machine.xml`, `os.qcow2` and `data.raw`.
"""

import sys
from pathlib import Path

from tests.lab.boot_wire import boot_wire
from tests.lab.errors import LabCommandFailed
from tests.lab.guest import Guest
from tests.lab.hypervisor import open_libvirt
from tests.lab.image import guest_image, kept, key_of, recipe_key
from tests.lab.machine import KNOWN, DiskFile, Identity, machine_xml
from tests.lab.namespace import run_in_lab, scratch
from tests.lab.network import put_network
from tests.lab.tools import run, say, version_of
from vmkeep.model.machine import DiskFormat

READY_LIMIT_S = 240


def saved_guest(name: str) -> Path:
    """Return the folder of a saved guest; if it is missing, boot one in a lab of its own first (about a minute)."""
    guest_image()
    return kept(f"saved-{name}-{saved_key()}", lambda folder: save_in_own_lab(name, folder))


def saved_key() -> str:
    """Return a key of what a saved guest depends on: its recipe, its hardware, and who reads its memory again."""
    here = Path(__file__)
    files = [here, *(here.with_name(f"{name}.py") for name in ("machine", "network", "boot_wire"))]
    versions = [version_of([tool, "--version"]) for tool in ("qemu-system-x86_64", "libvirtd")]
    return key_of(files, recipe_key(), *versions)


def save_in_own_lab(name: str, folder: Path) -> None:
    """Run `save` in a new lab, so that it does not meet the networks and guests of this one."""
    say(f"booting {name} once until its agent is ready")
    code = run_in_lab([sys.executable, "-m", "tests.lab", "save", name, str(folder)])
    if code:
        raise LabCommandFailed(f"saving {name}", code, "see above")


def save(name: str, folder: Path) -> None:
    """Boot a guest, wait until the Azure agent is ready, save it with its memory to `folder`."""
    identity = KNOWN[name]
    connection = open_libvirt()
    put_network(connection, KNOWN.values())
    disks = boot_disks()
    with boot_wire(identity) as ready:
        guest = Guest(connection.createXML(machine_xml(identity, disks, scratch() / "console.log")))
        guest.wait_until_up()
        give_identity(guest, identity)
        guest.wait_for(ready.is_set, "the Azure agent is ready", limit_s=READY_LIMIT_S)
        guest.run("mountpoint", "-q", "/data")
        guest.run("sync")
        guest.domain.save(str(folder / "memory"))
    (folder / "machine.xml").write_text(connection.saveImageGetXMLDesc(str(folder / "memory")))
    run("qemu-img", "convert", "-O", "qcow2", disks["vda"].path, folder / "os.qcow2")
    run("cp", "--sparse=always", disks["vdb"].path, folder / "data.raw")


def boot_disks() -> dict[str, DiskFile]:
    """Return disks to boot from, made of the guest image."""
    image, folder = guest_image(), scratch()
    os_disk, data = folder / "os.qcow2", folder / "data.raw"
    run("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", image / "os.qcow2", os_disk)
    run("cp", "--sparse=always", image / "data.raw", data)
    return {"vda": DiskFile(os_disk, DiskFormat.QCOW2), "vdb": DiskFile(data, DiskFormat.RAW)}


def give_identity(guest: Guest, identity: Identity) -> None:
    """Make the guest know its own name and carry its own machine id."""
    guest.run("sh", "-c", f"echo {identity.name} | tee /etc/hostname | xargs hostname")
    guest.write_file("/etc/machine-id", identity.uuid.replace("-", "").encode() + b"\n")
