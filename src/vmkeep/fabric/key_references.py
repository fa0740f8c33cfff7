"""Where the keys of a VM's encrypted disks are kept: noted in the VM's own definition, so that it goes where the VM goes."""

from collections.abc import Mapping
from xml.etree import ElementTree as ET

import libvirt

from vmkeep.fabric.domain_xml import captured_disks, parse, unparse
from vmkeep.fabric.encryption_errors import DiskNotEncrypted
from vmkeep.fabric.host import Domain, translated
from vmkeep.model.disk_key import KeyReference

_URI = "https://vmkeep.dev/xml/disk-keys/1"
_PREFIX = "vmkeep-keys"
ET.register_namespace(_PREFIX, _URI)
_KEYS, _KEY = f"{{{_URI}}}keys", f"{{{_URI}}}key"


def read_references(root: ET.Element) -> dict[str, KeyReference]:
    """Return where a definition says the key of each disk is."""
    return {
        key.get("disk", ""): KeyReference(key.get("key-vault", ""), key.get("secret", ""))
        for key in root.findall(f"metadata/{_KEYS}/{_KEY}")
    }


def put_references(domain: Domain, references: Mapping[str, KeyReference]) -> None:
    """Note where the keys of some disks are; what is noted of others stays. Raises DiskNotEncrypted, VmVanished."""
    with translated("note the keys of the VM's disks", vm_uuid=domain.UUIDString()):
        root = parse(domain.XMLDesc())
        encrypted = [disk.target for _lun, disk in captured_disks(root) if disk.secret_uuid]
        for disk in references:
            if disk not in encrypted:
                raise DiskNotEncrypted(domain.name(), disk, ", ".join(encrypted) or "none")
        domain.setMetadata(
            libvirt.VIR_DOMAIN_METADATA_ELEMENT,
            _unparse({**read_references(root), **references}),
            _PREFIX,
            _URI,
            _affected(domain),
        )


def _affected(domain: Domain) -> int:
    flags = libvirt.VIR_DOMAIN_AFFECT_CONFIG if domain.isPersistent() else 0
    return int(flags | (libvirt.VIR_DOMAIN_AFFECT_LIVE if domain.isActive() else 0))


def _unparse(references: Mapping[str, KeyReference]) -> str:
    """Return the element without its namespace: libvirt adds it, and refuses one that has it."""
    keys = ET.Element("keys")
    for disk, one in sorted(references.items()):
        ET.SubElement(keys, "key", {"disk": disk, "key-vault": one.key_vault, "secret": one.secret})
    return unparse(keys)
