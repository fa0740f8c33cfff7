"""The lab as seen from inside: its libvirt, its network, its guests."""

import os
import signal
import tempfile
from contextlib import suppress
from pathlib import Path

import libvirt

from tests.lab.guest import Guest
from tests.lab.hypervisor import open_libvirt
from tests.lab.machine import KNOWN, DiskFile, with_files
from tests.lab.namespace import answers, scratch
from tests.lab.network import put_network
from tests.lab.saved import saved_guest
from tests.lab.tools import run, wait_for
from vmkeep.model.machine import DiskFormat

LEFT_BEHIND = libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA | libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE


class Lab:
    """One running lab."""

    def __init__(self) -> None:
        self.folder = scratch()
        self.connection = open_libvirt()

    def new_folder(self, name: str) -> Path:
        """Return a new empty folder that lives as long as the lab."""
        return Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.folder))

    def put_network(self) -> None:
        """Start the network `vmkeep` unless there is one."""
        put_network(self.connection, KNOWN.values())

    def restore_guest(self, name: str = "alpha", *, data_disk: DiskFormat = DiskFormat.RAW) -> Guest:
        """Return a guest just woken from its saved memory, on fresh disks: the OS disk a qcow2 over a common base, the
        data disk a raw copy or, if wanted, qcow2 too.
        """
        saved, folder = read_only(saved_guest(name)), self.new_folder(name)
        self.put_network()
        disks = {"vda": layer_over(saved / "os.qcow2", DiskFormat.QCOW2, folder / "os.qcow2")}
        if data_disk is DiskFormat.QCOW2:
            disks["vdb"] = layer_over(saved / "data.raw", DiskFormat.RAW, folder / "data.qcow2")
        else:
            disks["vdb"] = copy_of(saved / "data.raw", folder / "data.raw")
        xml = with_files((saved / "machine.xml").read_text(), disks, folder / "console.log")
        domain = self.connection.defineXML(xml)
        self.connection.restoreFlags(str(saved / "memory"), xml, libvirt.VIR_DOMAIN_SAVE_RUNNING)
        guest = Guest(domain)
        guest.wake_up()
        return guest

    def get_guest(self, name: str) -> Guest:
        """Return a handle on a VM that is there already."""
        return Guest(self.connection.lookupByName(name))

    def stop_libvirt(self) -> None:
        """End libvirtd as its unit would; VMs go on."""
        pid_file = Path("/run/libvirtd.pid")
        os.kill(int(pid_file.read_text()), signal.SIGTERM)
        wait_for(lambda: not pid_file.exists(), "libvirtd has ended")

    def start_libvirt(self, *guests: Guest) -> None:
        """Start libvirtd again; handles on guests are made good."""
        run("libvirtd", "--daemon")
        wait_for(answers, "libvirt answers")
        self.connection = open_libvirt()
        for guest in guests:
            guest.domain = self.connection.lookupByName(guest.name)

    def clear(self) -> None:
        """Remove every VM and network; the VMs' disks go with the lab."""
        for domain in self.connection.listAllDomains():
            with suppress(libvirt.libvirtError):
                domain.destroy()
            with suppress(libvirt.libvirtError):
                domain.undefineFlags(LEFT_BEHIND)
        for network in self.connection.listAllNetworks():
            with suppress(libvirt.libvirtError):
                network.destroy()
            with suppress(libvirt.libvirtError):
                network.undefine()


def read_only(folder: Path) -> Path:
    """Return a folder of the cache that nobody in this lab can write to: a merge into the wrong layer must fail."""
    if not os.statvfs(folder).f_flag & os.ST_RDONLY:
        run("mount", "-o", "bind,ro", folder, folder)
    return folder


def layer_over(base: Path, base_format: DiskFormat, path: Path) -> DiskFile:
    """Return a new qcow2 that changes go to, over a base that stays as it is."""
    run("qemu-img", "create", "-q", "-f", "qcow2", "-F", base_format, "-b", base, path)
    return DiskFile(path, DiskFormat.QCOW2)


def copy_of(base: Path, path: Path) -> DiskFile:
    """Return a raw copy that keeps the holes of `base`."""
    run("cp", "--sparse=always", "--reflink=auto", base, path)
    return DiskFile(path, DiskFormat.RAW)
