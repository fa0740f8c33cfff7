"""A new VM from a recorded definition: another identity, its own disks, nothing shared with the original."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from xml.etree import ElementTree as ET

import libvirt
import structlog

from vmkeep.base.ids import new_guid
from vmkeep.fabric.disk_secret import define_secret, delete_secret
from vmkeep.fabric.domain_xml import attribute, encryption_xml, parse, unparse
from vmkeep.fabric.errors import MachineDefinitionUnusable, NameTaken, NotRestoredByUs
from vmkeep.fabric.host import Host, translated
from vmkeep.model.disk_key import NO_KEYS, DiskKeys
from vmkeep.model.machine import DiskFormat

log = structlog.get_logger()

MARK = "{https://vmkeep.dev/xml/restored/1}restored"
"""Metadata element of every VM that a restore made; `from` is the UUID of the original."""
ET.register_namespace("vmkeep", "https://vmkeep.dev/xml/restored/1")

_RUNTIME_ONLY = ("id", "seclabel")
_AUTOMATIC_SOURCES = ("unix", "file", "pipe")


def new_machine_xml(
    source_xml: str,
    *,
    name: str,
    vm_uuid: str,
    disk_images: Mapping[str, tuple[Path, DiskFormat]],
    network: str | None,
    secret_uuids: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Return the definition of a new VM; `disk_images` are (path, format) by target device.

    `secret_uuids` are libvirt's secrets of the encrypted ones among them.

    Disks without an image and host devices are left out, removable media are ejected. Firmware variables start
    from their template, a TPM starts empty. Raises MachineDefinitionUnusable.
    """
    try:
        root = parse(source_xml)
    except ET.ParseError as error:
        raise MachineDefinitionUnusable(f"it is not XML ({error})") from error
    devices = root.find("devices")
    if root.tag != "domain" or devices is None:
        raise MachineDefinitionUnusable("it is not a libvirt domain")
    _set_identity(root, name, vm_uuid)
    _replace_disks(devices, disk_images, secret_uuids)
    _renew_interfaces(devices, network)
    _release_host_resources(root, devices)
    return unparse(root)


def create_machine(
    host: Host,
    source_xml: str,
    *,
    name: str,
    disk_images: Mapping[str, tuple[Path, DiskFormat]],
    network: str | None,
    keys: DiskKeys = NO_KEYS,
) -> str:
    """Define, but do not start, a new VM and return its UUID. The disks that `keys` open are encrypted.

    Raises NameTaken, MachineDefinitionUnusable, HypervisorRefused, HypervisorUnreachable.
    """
    if any(domain.name() == name for domain in host.list_domains()):
        raise NameTaken(name)
    vm_uuid = new_guid()
    secrets = {disk: new_guid() for disk in keys}
    xml = new_machine_xml(
        source_xml,
        name=name,
        vm_uuid=vm_uuid,
        disk_images=disk_images,
        network=network,
        secret_uuids=secrets,
    )
    connection = host.connection()
    with translated("define the restored VM"), ExitStack() as undo:
        for disk, secret_uuid in secrets.items():
            path = str(disk_images[disk][0].resolve())
            undo.callback(delete_secret, connection, path)
            define_secret(connection, secret_uuid, path, keys[disk])
        connection.defineXML(xml)
        undo.pop_all()
    log.info("fabric.machine.created", vm=name, vm_uuid=vm_uuid)
    return vm_uuid


def delete_machine(host: Host, vm_uuid: str) -> None:
    """Undefine a VM that a restore made, and delete its disk files; nothing happens when it is gone.

    Raises NotRestoredByUs, HypervisorRefused, HypervisorUnreachable.
    """
    domain = host.find_domain(vm_uuid)
    if domain is None:
        return
    with translated("delete the restored VM", vm_uuid=vm_uuid):
        root = parse(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
        if root.find(f"metadata/{MARK}") is None:
            raise NotRestoredByUs(domain.name())
        if domain.isActive():
            domain.destroy()
        domain.undefineFlags(libvirt.VIR_DOMAIN_UNDEFINE_NVRAM)
    for disk in root.findall("devices/disk[@device='disk']"):
        path = attribute(disk, "source", "file")
        if path:
            Path(path).unlink(missing_ok=True)
            delete_secret(host.connection(), path)
    log.info("fabric.machine.deleted", vm=domain.name(), vm_uuid=vm_uuid)


def _set_identity(root: ET.Element, name: str, vm_uuid: str) -> None:
    original = root.findtext("uuid") or ""
    for tag, value in (("name", name), ("uuid", vm_uuid)):
        element = root.find(tag)
        if element is None:
            element = ET.SubElement(root, tag)
        element.text = value
    for element in root.findall("genid"):
        element.text = new_guid()
    for entry in root.findall("sysinfo/system/entry[@name='uuid']"):
        entry.text = vm_uuid
    metadata = root.find("metadata")
    if metadata is None:
        metadata = ET.SubElement(root, "metadata")
    for mark in metadata.findall(MARK):
        metadata.remove(mark)
    ET.SubElement(metadata, MARK, {"from": original})


def _replace_disks(
    devices: ET.Element,
    disk_images: Mapping[str, tuple[Path, DiskFormat]],
    secret_uuids: Mapping[str, str],
) -> None:
    for disk in devices.findall("disk"):
        name = attribute(disk, "target", "dev")
        image = disk_images.get(name)
        _remove(disk, "source", "backingStore", "mirror", "auth", "alias", "encryption", "transient")
        if image is not None:
            path, image_format = image
            disk.set("type", "file")
            driver = disk.find("driver")
            if driver is None:
                driver = ET.SubElement(disk, "driver", {"name": "qemu"})
            driver.set("type", image_format)
            source = ET.SubElement(disk, "source", {"file": str(path.resolve())})
            if name in secret_uuids:
                source.append(encryption_xml(secret_uuids[name]))
        elif disk.get("device") in {"cdrom", "floppy"}:
            disk.set("type", "file")
        else:
            devices.remove(disk)


def _renew_interfaces(devices: ET.Element, network: str | None) -> None:
    for interface in devices.findall("interface"):
        _remove(interface, "mac", "target", "alias", "backend")
        for parameter in interface.findall("filterref/parameter"):
            if parameter.get("name") in {"IP", "MAC"}:
                interface.find("filterref").remove(parameter)  # type: ignore[union-attr] # it was found in it
        source = interface.find("source")
        if network is not None:
            interface.set("type", "network")
            _remove(interface, "source", "virtualport")
            ET.SubElement(interface, "source", {"network": network})
        elif source is not None:
            for runtime in ("portid", "bridge") if interface.get("type") == "network" else ():
                source.attrib.pop(runtime, None)


def _release_host_resources(root: ET.Element, devices: ET.Element) -> None:
    """Remove what only one VM can own: sockets, files, ports, host devices, firmware variables."""
    root.attrib.pop("id", None)
    _remove(root, *_RUNTIME_ONLY)
    for nvram in root.findall("os/nvram"):
        nvram.text = None  # libvirt makes a new file from the template
        _remove(nvram, "source")
    for hostdev in devices.findall("hostdev"):
        devices.remove(hostdev)
    for device in devices:
        _remove(device, "alias")
        if device.tag in {"serial", "console", "channel", "parallel"}:
            _renew_character_device(device)
        if device.get("type") in {"vnc", "spice"}:
            _renew_graphics(device)


def _renew_character_device(device: ET.Element) -> None:
    _remove(device, "log")
    target = device.find("target")
    if target is not None:
        target.attrib.pop("state", None)
    if device.get("type") in _AUTOMATIC_SOURCES and device.tag != "channel":
        device.set("type", "pty")
    if device.get("type") in {"pty", "unix"}:
        device.attrib.pop("tty", None)
        _remove(device, "source")


def _renew_graphics(graphics: ET.Element) -> None:
    graphics.attrib.pop("port", None)
    graphics.attrib.pop("tlsPort", None)
    graphics.set("autoport", "yes")


def _remove(parent: ET.Element, *tags: str) -> None:
    for tag in tags:
        for child in parent.findall(tag):
            parent.remove(child)
