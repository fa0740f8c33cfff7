"""The lab's VMs: who they are, and their libvirt XML."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

from vmkeep.model.machine import DiskFormat


@dataclass(frozen=True)
class Identity:
    """What makes one lab guest another machine than the next."""

    name: str
    uuid: str
    mac: str
    ip: str


ALPHA = Identity("alpha", "a1fa0000-77aa-4c6b-9d52-0a7700000010", "52:54:00:77:00:10", "10.77.0.10")
BETA = Identity("beta", "be7a0000-77bb-4c6b-9d52-0a7700000011", "52:54:00:77:00:11", "10.77.0.11")
KNOWN = {identity.name: identity for identity in (ALPHA, BETA)}


@dataclass(frozen=True)
class DiskFile:
    """The file behind one disk."""

    path: Path
    format: DiskFormat


def machine_xml(identity: Identity, disks: Mapping[str, DiskFile], console: Path) -> str:
    """Return the XML of a lab VM: emulated, two CPUs, disks by target device, a console that is logged to a file."""
    return f"""
<domain type='qemu'>
  <name>{identity.name}</name>
  <uuid>{identity.uuid}</uuid>
  <memory unit='MiB'>768</memory>
  <vcpu>2</vcpu>
  <os><type arch='x86_64' machine='q35'>hvm</type><boot dev='hd'/></os>
  <features><acpi/><apic/></features>
  <cpu mode='maximum'/>
  <clock offset='utc'/>
  <devices>
    {"".join(disk_xml(device, disk) for device, disk in disks.items())}
    <interface type='network'>
      <mac address='{identity.mac}'/><source network='vmkeep'/><model type='virtio'/><rom enabled='no'/>
    </interface>
    <serial type='pty'><log file='{console}'/></serial>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
  </devices>
</domain>
"""


def disk_xml(device: str, disk: DiskFile) -> str:
    """Return the XML of one virtio disk; flushes are ignored, the host does not crash in a test."""
    return f"""
    <disk type='file' device='disk'>
      <driver name='qemu' type='{disk.format}' cache='unsafe'/>
      <source file='{disk.path}'/><target dev='{device}' bus='virtio'/>
    </disk>"""


def with_files(xml: str, disks: Mapping[str, DiskFile], console: Path) -> str:
    """Return a saved VM's XML with other files behind the same devices."""
    root = ET.fromstring(xml)  # noqa: S314 - libvirt's own words
    for disk in root.iterfind("devices/disk"):
        file = disks[_found(disk, "target").get("dev", "")]
        _found(disk, "driver").set("type", file.format)
        _found(disk, "source").set("file", str(file.path))
        for chain in disk.findall("backingStore"):
            disk.remove(chain)  # an empty one would hide the new file's own base
    for log in root.iterfind("devices/*/log"):
        log.set("file", str(console))
    return ET.tostring(root, encoding="unicode")


def disk_files(xml: str) -> dict[str, Path]:
    """Return the files behind a VM's disks, by target device."""
    root = ET.fromstring(xml)  # noqa: S314 - libvirt's own words
    return {
        _found(disk, "target").get("dev", ""): Path(_found(disk, "source").get("file", ""))
        for disk in root.iterfind("devices/disk[@device='disk']")
    }


def mac_address(xml: str) -> str:
    """Return the MAC address of a VM's first network interface."""
    return _found(ET.fromstring(xml), "devices/interface/mac").get("address", "")  # noqa: S314 - libvirt's own words


def _found(element: ET.Element, tag: str) -> ET.Element:
    found = element.find(tag)
    if found is None:
        raise ValueError(f"<{element.tag}> has no <{tag}>")
    return found
