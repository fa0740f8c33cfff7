"""Reading a VM's libvirt definition: which disks and interfaces it has, and which disks can be captured."""

from dataclasses import dataclass
from xml.etree import ElementTree as ET

CAPTURABLE_FORMATS = ("qcow2", "raw", "luks")


@dataclass(frozen=True, slots=True)
class DiskDevice:
    """One `<disk>`: `obstacle` says why it cannot be captured, and is empty when it can.

    `format` is `luks` for what libvirt calls raw with an encryption; `secret_uuid` is libvirt's secret of an encrypted disk.
    """

    target: str
    path: str
    format: str
    boot_order: int
    obstacle: str
    secret_uuid: str = ""


@dataclass(frozen=True, slots=True)
class Interface:
    """One `<interface>`; `tap` is its device on the host while the VM runs."""

    mac: str
    network: str
    bridge: str
    tap: str
    filtered: bool


def parse(xml: str) -> ET.Element:
    """Read a document that libvirt wrote."""
    return ET.fromstring(xml)  # noqa: S314 - written by libvirt, never by a guest


def unparse(root: ET.Element) -> str:
    """Write a document for libvirt."""
    return ET.tostring(root, encoding="unicode")


def attribute(element: ET.Element, path: str, name: str) -> str:
    """Return an attribute of the child at `path`; empty when there is none."""
    child = element.find(path)
    return (child.get(name) or "") if child is not None else ""


def list_disks(root: ET.Element) -> list[DiskDevice]:
    """Return all disk devices in the order of the definition."""
    return [_read_disk(disk) for disk in root.findall("devices/disk")]


def captured_disks(root: ET.Element) -> list[tuple[int, DiskDevice]]:
    """Return the disks that can be captured with their LUNs: -1 for the OS disk, 0… for the others.

    The OS disk is the first of all hard disks in boot order; when it cannot be captured no disk has LUN -1.
    """
    hard_disks = [disk for disk in list_disks(root) if disk.obstacle not in _NOT_HARD_DISKS]
    os_disk = min(hard_disks, key=lambda disk: disk.boot_order, default=None)
    captured = [disk for disk in hard_disks if not disk.obstacle]
    data_disks = [disk for disk in captured if disk is not os_disk]
    os_disks = [(-1, disk) for disk in captured if disk is os_disk]
    return os_disks + list(enumerate(data_disks))


def excluded_disks(root: ET.Element) -> tuple[str, ...]:
    """Return the disks that cannot be captured, as `name (why)`."""
    return tuple(f"{disk.target} ({disk.obstacle})" for disk in list_disks(root) if disk.obstacle)


def disk_element(root: ET.Element, name: str) -> ET.Element | None:
    """Return the `<disk>` with that target, or None."""
    return next((d for d in root.findall("devices/disk") if attribute(d, "target", "dev") == name), None)


def list_interfaces(root: ET.Element) -> list[Interface]:
    """Return the network interfaces in the order of the definition."""
    return [
        Interface(
            mac=attribute(interface, "mac", "address").lower(),
            network=attribute(interface, "source", "network"),
            bridge=attribute(interface, "source", "bridge"),
            tap=attribute(interface, "target", "dev"),
            filtered=interface.find("filterref") is not None,
        )
        for interface in root.findall("devices/interface")
    ]


def disk_format(disk: ET.Element) -> str:
    """Return the format of a disk's file in QEMU's words: libvirt calls LUKS raw, with an encryption."""
    named = attribute(disk, "driver", "type")
    return "luks" if named == "raw" and find_encryption(disk) is not None else named


def driver_type(image_format: str) -> str:
    """Return what libvirt calls a format."""
    return "raw" if image_format == "luks" else image_format


def find_encryption(disk: ET.Element) -> ET.Element | None:
    """Return the `<encryption>` of a disk's file, which libvirt accepts in two places; None for a plain disk."""
    inner = disk.find("source/encryption")
    return inner if inner is not None else disk.find("encryption")


def encryption_xml(secret_uuid: str) -> ET.Element:
    """Return a file's `<encryption>`. libvirt 9.0 cannot start a VM again whose layers do not name the engine."""
    encryption = ET.Element("encryption", format="luks", engine="qemu")
    ET.SubElement(encryption, "secret", type="passphrase", uuid=secret_uuid)
    return encryption


def has_guest_agent(root: ET.Element) -> bool:
    """Whether qemu-guest-agent holds its channel open; meaningful in a running VM's definition."""
    return any(
        attribute(channel, "target", "name") == "org.qemu.guest_agent.0"
        and attribute(channel, "target", "state") != "disconnected"
        for channel in root.findall("devices/channel")
    )


_NOT_HARD_DISKS = ("cdrom", "floppy")
_NO_BOOT_ORDER = 1 << 16


def _read_disk(disk: ET.Element) -> DiskDevice:
    return DiskDevice(
        target=attribute(disk, "target", "dev"),
        path=attribute(disk, "source", "file"),
        format=disk_format(disk),
        boot_order=int(attribute(disk, "boot", "order") or _NO_BOOT_ORDER),
        obstacle=_obstacle(disk),
        secret_uuid=_secret_uuid(disk),
    )


def _secret_uuid(disk: ET.Element) -> str:
    encryption = find_encryption(disk)
    return "" if encryption is None else attribute(encryption, "secret", "uuid")


def _unknown_encryption(disk: ET.Element) -> str:
    """Return what is special about a disk's encryption; empty when it is LUKS by QEMU, or none."""
    encryption = find_encryption(disk)
    if encryption is None:
        return ""
    secrets = encryption.findall("secret")
    engine = encryption.get("engine", "qemu")
    if encryption.get("format") != "luks" or engine != "qemu":
        return f"encrypted as {encryption.get('format')} by {engine}"
    if len(secrets) != 1 or secrets[0].get("type") != "passphrase" or not secrets[0].get("uuid"):
        return "encrypted with a secret that is not named by its UUID"
    return ""


def _obstacle(disk: ET.Element) -> str:
    device, kind = disk.get("device", "disk"), disk.get("type", "")
    image_format, unknown_encryption = disk_format(disk), _unknown_encryption(disk)
    obstacles = (
        (device, device != "disk"),
        ("read-only", disk.find("readonly") is not None),
        ("shareable", disk.find("shareable") is not None),
        ("transient", disk.find("transient") is not None),
        (f"{kind} storage", kind != "file"),
        (unknown_encryption, bool(unknown_encryption)),
        (f"format {image_format or 'unknown'}", image_format not in CAPTURABLE_FORMATS),
        ("empty", not attribute(disk, "source", "file")),
    )
    return next((why for why, holds in obstacles if holds), "")
