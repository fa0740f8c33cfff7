"""The guest's disks, built from Debian packages and kept in a cache.

`os.qcow2` has an MBR, GRUB in front of its only partition (ext4, label `root`) and boots anywhere; `data.raw` is an
empty ext4 (label `data`). No loop device is needed: mke2fs fills the file system from a folder.
"""

import hashlib
import os
import shutil
import struct
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.lab.locks import locked
from tests.lab.tools import run, say
from vmkeep.base.units import GIB, MIB

RECIPE = Path(__file__).with_name("recipe")
SUITE = "bookworm"
UNFINISHED = "unfinished-"
OS_SIZE = 2 * GIB
DATA_SIZE = 1 * GIB
PARTITION_START = 1 * MIB
SECTOR = 512
BOOT_CODE_BYTES = 440
"""Code before the disk signature and partition table in an MBR."""
DISK_SIGNATURE = b"vmkp"
ACTIVE, LINUX, NO_CHS = 0x80, 0x83, b"\xfe\xff\xff"
OWN_MOUNTS = ("unshare", "--mount", "--propagation", "private", "--")
"""mmdebstrap mounts /dev, /proc and /sys of this machine in the tree: killed, it must not leave them there, where
removing the tree would remove what they hold."""
TREE_OPTIONS = (
    "--variant=apt",
    "--architectures=amd64",
    '--aptopt=APT::Install-Recommends "false"',
    "--dpkgopt=path-exclude=/usr/share/doc/*",
    "--dpkgopt=path-exclude=/usr/share/man/*",
    "--dpkgopt=path-exclude=/usr/share/locale/*",
)


def cache() -> Path:
    """Return the folder that keeps images and saved guests, shared by all labs of this clone."""
    default = Path(__file__).resolve().parents[2] / ".cache/lab"
    folder = Path(os.environ.get("VMKEEP_LAB_CACHE", default)).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """Return folder `name` of the cache, made by `make` if it is missing; other processes wait meanwhile."""
    folder = cache() / name
    if not folder.exists():
        with locked(cache()):
            if not folder.exists():
                for left in cache().glob(f"{UNFINISHED}*"):
                    shutil.rmtree(left)
                fresh = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=cache()))
                try:
                    make(fresh)
                    fresh.rename(folder)
                finally:
                    shutil.rmtree(fresh, ignore_errors=True)
    return folder


def key_of(files: Sequence[Path], *facts: str) -> str:
    """Return a short key that changes when one of `files` or `facts` does."""
    hashed = hashlib.sha256("\n".join(facts).encode())
    for path in sorted(files):
        hashed.update(path.name.encode() + b"\0" + path.read_bytes())
    return hashed.hexdigest()[:12]


def recipe_key() -> str:
    """Return the key of everything the guest's disks are made from."""
    return key_of([*RECIPE.iterdir(), Path(__file__)])


def guest_image() -> Path:
    """Return the folder with `os.qcow2` and `data.raw`, built first if the recipe has changed."""
    return kept(f"image-{recipe_key()}", build)


def build(folder: Path) -> None:
    """Build both disks in `folder`; takes one or two minutes and apt."""
    say("building the guest's disks")
    tree = folder / "tree"
    build_tree(tree)
    build_os_disk(tree, folder)
    shutil.rmtree(tree)
    data = folder / "data.raw"
    create_sparse(data, DATA_SIZE)
    run("mke2fs", "-q", "-t", "ext4", "-L", "data", data)


def build_tree(tree: Path) -> None:
    """Install Debian and the agents into a folder and prepare them (`recipe/customize.sh`)."""
    packages = ",".join((RECIPE / "packages.txt").read_text().split())
    customize = f"--customize-hook={RECIPE / 'customize.sh'}"
    run(
        *OWN_MOUNTS,
        "env",
        "INITRD=No",
        "mmdebstrap",
        "-q",
        *TREE_OPTIONS,
        f"--include={packages}",
        customize,
        SUITE,
        tree,
        *mirror(),
    )


def build_os_disk(tree: Path, folder: Path) -> None:
    """Make a bootable `os.qcow2` in `folder` from a tree."""
    raw = folder / "os.raw"
    create_sparse(raw, OS_SIZE)
    # GRUB of Debian 12 does not read file systems with these two features.
    features = "^metadata_csum_seed,^orphan_file"
    offset = f"offset={PARTITION_START}"
    blocks = f"{(OS_SIZE - PARTITION_START) // 1024}k"
    run("mke2fs", "-q", "-t", "ext4", "-L", "root", "-O", features, "-E", offset, "-d", tree, raw, blocks)
    with raw.open("r+b") as disk:
        disk.write(master_boot_record((tree / "boot/grub-boot.img").read_bytes()))
        disk.write((tree / "boot/grub-core.img").read_bytes())
    run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, folder / "os.qcow2")
    raw.unlink()


def master_boot_record(boot_code: bytes) -> bytes:
    """Return a first sector: GRUB's boot code, which loads the next sector, and one active Linux partition."""
    start, length = PARTITION_START // SECTOR, (OS_SIZE - PARTITION_START) // SECTOR
    partition = struct.pack("<B3sB3sII", ACTIVE, NO_CHS, LINUX, NO_CHS, start, length)
    return boot_code[:BOOT_CODE_BYTES] + DISK_SIGNATURE + bytes(2) + partition + bytes(48) + b"\x55\xaa"


def mirror() -> Sequence[str]:
    """Return where this machine gets Debian 12 from; nothing elsewhere than on Debian 12: mmdebstrap knows a place."""
    named = os.environ.get("VMKEEP_LAB_MIRROR")
    wanted = ("Origin: Debian", f"Codename: {SUITE}", "Component: main")
    known = run("apt-get", "indextargets", "--format", "$(REPO_URI)", *wanted).split()
    return [named] if named else known[:1]


def create_sparse(path: Path, size: int) -> None:
    """Make a file of `size` bytes that are all holes."""
    with path.open("xb") as file:
        file.truncate(size)
