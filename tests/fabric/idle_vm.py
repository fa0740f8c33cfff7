"""A VM without an operating system: its disks are written through QEMU itself, it starts in no time."""

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import libvirt
import libvirt_qemu

from tests.fabric.on_guests import qemu_img
from tests.lab.lab import Lab
from tests.lab.tools import wait_for
from vmkeep.fabric.domain_xml import list_disks, parse
from vmkeep.model.machine import DiskFormat

Change = Callable[[str], str]
UUID = "1d1e0000-77cc-4c6b-9d52-0a7700000012"
XML = """
<domain type='qemu'>
  <name>idle</name><uuid>{uuid}</uuid><memory unit='MiB'>64</memory><vcpu>1</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type></os>
  <devices>
    <disk type='file' device='disk'>
      <driver name='qemu' type='qcow2'/><source file='{folder}/os.qcow2'/><target dev='vda' bus='virtio'/>
    </disk>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{folder}/data.raw'/><target dev='sda' bus='sata'/>
    </disk>
    <disk type='file' device='cdrom'><target dev='sdb' bus='sata'/><readonly/></disk>
    <controller type='usb' model='none'/><memballoon model='none'/>
  </devices>
</domain>
"""


class IdleVm:
    """Two disks of 16 MiB: `vda` qcow2, `sda` raw; and an empty CD drive."""

    def __init__(self, lab: Lab) -> None:
        self.uuid = UUID
        self.folder = lab.new_folder("idle")
        qemu_img("create", "-q", "-f", "qcow2", self.folder / "os.qcow2", "16M")
        qemu_img("create", "-q", "-f", "raw", self.folder / "data.raw", "16M")
        self.domain = lab.connection.defineXML(XML.format(uuid=UUID, folder=self.folder))

    def redefine(self, connection: libvirt.virConnect, *, uuid: str = "", change: Change = str) -> None:
        """Undefine the VM and define it again, perhaps with another UUID or changed otherwise."""
        xml = self.domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE)
        self.domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA)
        self.domain = connection.defineXML(change(xml.replace(self.uuid, uuid or self.uuid)))
        self.uuid = uuid or self.uuid

    def kill_qemu(self) -> None:
        """End the VM's QEMU as a crash would, and return when libvirt has noticed."""
        os.kill(int(Path(f"/run/libvirt/qemu/{self.domain.name()}.pid").read_text()), signal.SIGKILL)
        wait_for(lambda: not self.domain.isActive(), "libvirt sees that QEMU is gone")

    def disks(self) -> dict[str, tuple[str, DiskFormat]]:
        """The active layer of each disk."""
        found = list_disks(parse(self.domain.XMLDesc()))
        return {disk.target: (disk.path, DiskFormat(disk.format)) for disk in found if not disk.obstacle}

    def write_noise(self, name: str, mib: int) -> None:
        """Write noise to the beginning of one disk of a VM that is off."""
        noise, (path, image_format) = self.folder / "noise", self.disks()[name]
        with Path("/dev/urandom").open("rb") as source:
            noise.write_bytes(source.read(mib << 20))
        write = f"write -s {noise} 0 {mib}M"
        subprocess.run(["qemu-io", "-f", image_format, "-c", write, path], check=True, capture_output=True)

    def write(self, what: str) -> None:
        """Write the same to all disks, as the guest would, and flush it: `-P 3 1M 64k`."""
        for name, (path, image_format) in self.disks().items():
            commands = (f"write {what}", "flush")
            if self.domain.isActive():
                for command in commands:
                    self._ask_qemu(name, command)
            else:
                words = [word for command in commands for word in ("-c", command)]
                subprocess.run(["qemu-io", "-f", image_format, *words, path], check=True, capture_output=True)

    def _ask_qemu(self, disk: str, command: str) -> None:
        device = {"vda": "virtio-disk0/virtio-backend", "sda": "sata0-0-0"}[disk]
        line = f'qemu-io -d /machine/peripheral/{device} "{command}"'
        answer = libvirt_qemu.qemuMonitorCommand(
            self.domain, line, libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
        )
        assert "rror" not in answer, answer

    def content(self, copy: Path, disk: str = "sda") -> Path:
        """What one of the VM's disks holds now."""
        path, image_format = self.disks()[disk]
        qemu_img("convert", "-U", "-f", image_format, "-O", "raw", path, copy)
        return copy


@contextmanager
def idle_vm(lab: Lab, *, running: bool) -> Iterator[IdleVm]:
    vm = IdleVm(lab)
    if running:
        vm.domain.create()
    yield vm
    if vm.domain.isActive():
        vm.domain.destroy()
    vm.domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA)
