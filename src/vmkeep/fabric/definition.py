"""Naming the files of a disk in a VM's definition."""

from xml.etree import ElementTree as ET

from vmkeep.fabric.chain import Chain, Image
from vmkeep.fabric.domain_xml import attribute, driver_type, encryption_xml, find_encryption


def name_chain(disk: ET.Element, chain: Chain) -> None:
    """Put a disk on the newest file of a chain, base first.

    The files themselves name what they stand on, and a definition need not. That of an encrypted disk must: libvirt
    starts such a VM only when it is told the secret of each file.
    """
    encryption = find_encryption(disk)
    for child, name, value in (
        ("source", "file", chain[-1].path),
        ("driver", "type", driver_type(chain[-1].format)),
    ):
        found = disk.find(child)
        assert found is not None  # noqa: S101 - disks without them are not captured
        found.set(name, value)
    for stale in disk.findall("backingStore"):
        disk.remove(stale)
    if encryption is not None:
        secret_uuid, above = attribute(encryption, "secret", "uuid"), disk
        for image in reversed(chain[:-1]):
            above = _append_backing(above, image, secret_uuid)
        ET.SubElement(above, "backingStore")


def _append_backing(above: ET.Element, image: Image, secret_uuid: str) -> ET.Element:
    backing = ET.SubElement(above, "backingStore", type="file")
    ET.SubElement(backing, "format", type=driver_type(image.format))
    source = ET.SubElement(backing, "source", file=image.path)
    if image.encrypted:
        source.append(encryption_xml(secret_uuid))
    return backing
