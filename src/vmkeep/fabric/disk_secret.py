"""libvirt's secrets of restored disks: they open the disk whenever its VM starts, and are told to nobody."""

from xml.etree import ElementTree as ET

import libvirt

from vmkeep.fabric.domain_xml import unparse
from vmkeep.fabric.host import Connection


def define_secret(connection: Connection, secret_uuid: str, path: str, passphrase: str) -> None:
    """Give libvirt the passphrase of an encrypted disk file. Raises libvirtError.

    It is kept by libvirt like those of the host's other encrypted disks, so that the VM starts without us; being
    private it cannot be read back through libvirt.
    """
    delete_secret(connection, path)
    secret = ET.Element("secret", ephemeral="no", private="yes")
    ET.SubElement(secret, "uuid").text = secret_uuid
    ET.SubElement(secret, "description").text = f"vmkeep: restored disk {path}"
    ET.SubElement(ET.SubElement(secret, "usage", type="volume"), "volume").text = path
    connection.secretDefineXML(unparse(secret)).setValue(passphrase.encode())


def delete_secret(connection: Connection, path: str) -> None:
    """Make libvirt forget the passphrase of a restored disk file; there need not be one. Raises libvirtError."""
    try:
        secret = connection.secretLookupByUsage(libvirt.VIR_SECRET_USAGE_TYPE_VOLUME, path)
    except libvirt.libvirtError as error:
        if error.get_error_code() != libvirt.VIR_ERR_NO_SECRET:
            raise
        return
    secret.undefine()
