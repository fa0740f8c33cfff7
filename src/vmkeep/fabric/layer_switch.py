"""Freezing the files of a VM's selected disks at one instant: each gets a new layer for the guest's writes."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from xml.etree import ElementTree as ET

import libvirt
import structlog

from vmkeep.base.clock import Clock
from vmkeep.base.units import MIB
from vmkeep.fabric.chain import layer_path, paths, read_chain, same
from vmkeep.fabric.definition import name_chain
from vmkeep.fabric.domain_xml import (
    DiskDevice,
    captured_disks,
    disk_element,
    encryption_xml,
    excluded_disks,
    list_disks,
    parse,
    unparse,
)
from vmkeep.fabric.encryption_errors import EncryptionMixed
from vmkeep.fabric.errors import (
    DiskVanished,
    HostStorageFull,
    HypervisorRefused,
    ImageUnreadable,
    LayerPathTaken,
    NoDiskToCapture,
)
from vmkeep.fabric.host import Domain, translated
from vmkeep.fabric.layer_file import create_layer
from vmkeep.fabric.layer_use import is_empty_layer
from vmkeep.model.disk_key import NO_KEYS, DiskKeys
from vmkeep.model.disk_selection import DiskSelection, is_selected
from vmkeep.model.machine import Consistency, DiskFormat
from vmkeep.model.restore_point import CapturedDisk, PointDisk, RestorePoint

log = structlog.get_logger()

ROOM_FOR_A_LAYER = 16 * MIB
"""Less free space than this, and the guest's next writes would stop it."""


def intended_point(
    domain: Domain, point_id: str, now: datetime, selection: DiskSelection | None
) -> RestorePoint:
    """Return the restore point to be made, crash-consistent until more is known. Changes nothing.

    Raises NoDiskToCapture, EncryptionMixed, LayerPathTaken, HostStorageFull, DiskVanished, ImageUnreadable.
    """
    with translated("read the VM's definition", vm_uuid=domain.UUIDString()):
        name, vm_uuid, xml, kept_xml = domain.name(), domain.UUIDString(), domain.XMLDesc(), _kept_xml(domain)
    root = parse(xml)
    capturable = captured_disks(root)
    disks = tuple(
        _intended_disk(disk, lun, point_id)
        for lun, disk in capturable
        if is_selected(selection, disk.target, lun)
    )
    left_out = tuple(
        _left_out(lun, disk) for lun, disk in capturable if not is_selected(selection, disk.target, lun)
    )
    if not disks:
        why = [*excluded_disks(root), *(f"{disk.name} (not selected)" for disk in left_out)]
        raise NoDiskToCapture(name, ", ".join(why) or "it has no disks at all")
    _check_room(disks)
    return RestorePoint(
        id=point_id,
        vm_uuid=vm_uuid,
        vm_name=name,
        time=now,
        consistency=Consistency.CRASH,
        disks=disks,
        machine_xml=kept_xml if _has_disks(kept_xml, disks) else xml,
        left_out=left_out,
    )


def _kept_xml(domain: Domain) -> str:
    """Return the definition the VM will next start with: free of what only a running VM has."""
    return str(domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))


def _has_disks(xml: str, disks: Sequence[CapturedDisk]) -> bool:
    return {disk.name for disk in disks} <= {disk.target for disk in list_disks(parse(xml))}


def _left_out(lun: int, disk: DiskDevice) -> PointDisk:
    """Return a disk that is not selected; its size in bytes is 0 when its file cannot be read."""
    try:
        size = read_chain(same(disk.path), DiskFormat(disk.format), disk=disk.target)[-1].size_bytes
    except (DiskVanished, ImageUnreadable):
        size = 0
    return PointDisk(disk.target, lun, size, included=False)


def _intended_disk(disk: DiskDevice, lun: int, point_id: str) -> CapturedDisk:
    active_path, image_format = same(disk.path), DiskFormat(disk.format)
    chain = read_chain(active_path, image_format, disk=disk.target)
    encrypted = next((image.path for image in chain if image.encrypted), None)
    if encrypted and not disk.secret_uuid:
        raise EncryptionMixed(disk.target, encrypted)
    layer = layer_path(active_path, point_id)
    if Path(layer).exists():
        raise LayerPathTaken(layer)
    return CapturedDisk(
        name=disk.target,
        lun=lun,
        path=active_path,
        format=image_format,
        size_bytes=chain[-1].size_bytes,
        active_path=layer,
        chain=paths(chain),
        secret_uuid=disk.secret_uuid,
    )


def _check_room(disks: Sequence[CapturedDisk]) -> None:
    directories = [str(Path(disk.active_path).parent) for disk in disks]
    for directory in set(directories):
        status = os.statvfs(directory)
        free, needed = status.f_bavail * status.f_frsize, ROOM_FOR_A_LAYER * directories.count(directory)
        if free < needed:
            raise HostStorageFull(directory, needed_bytes=needed, free_bytes=free)


def prepare_switch(
    domain: Domain, point: RestorePoint, clock: Clock, keys: DiskKeys = NO_KEYS
) -> "LayerSwitch":
    """Make everything ready that can be made ready before the guest is frozen."""
    with translated("read the VM's definition", vm_uuid=point.vm_uuid):
        xml = domain.XMLDesc()
    return LayerSwitch(domain, point, transaction_xml(xml, point), clock, keys)


def transaction_xml(domain_xml: str, point: RestorePoint) -> str:
    """Return libvirt's order to put a layer on each disk of `point` and to leave all other disks alone."""
    captured = {disk.name: disk for disk in point.disks}
    root = ET.Element("domainsnapshot")
    ET.SubElement(root, "name").text = f"vmkeep-{point.id}"
    disks = ET.SubElement(root, "disks")
    for device in list_disks(parse(domain_xml)):
        layer = captured.get(device.target)
        disk = ET.SubElement(disks, "disk", name=device.target, snapshot="external" if layer else "no")
        if layer:
            ET.SubElement(disk, "driver", type="qcow2")
            source = ET.SubElement(disk, "source", file=layer.active_path)
            if layer.secret_uuid:
                source.append(encryption_xml(layer.secret_uuid))
    return unparse(root)


@dataclass(slots=True)
class LayerSwitch:
    """The one call that freezes all files of a point; everything slow is done before. Used once or again after undo.

    libvirt makes the layers, but not those of a VM with encrypted disks: the key of a layer takes seconds to make, which
    a frozen guest must not wait for, and for a VM that is off libvirt would make them without encryption.
    """

    domain: Domain
    point: RestorePoint
    xml: str
    clock: Clock
    keys: DiskKeys = field(default_factory=lambda: NO_KEYS, repr=False)
    taken_at: datetime | None = None

    @property
    def encrypted(self) -> bool:
        """Whether any of the point's disks is."""
        return any(disk.secret_uuid for disk in self.point.disks)

    def make_layers(self) -> None:
        """Have the files of an encrypted VM's layers, empty.

        Raises DiskKeyMissing, DiskKeyWrong, LayerPathTaken, ImageUnreadable.
        """
        for disk in self.point.disks if self.encrypted else ():
            if not Path(disk.active_path).exists():
                create_layer(disk, self.keys.get(disk.name))
            elif not is_empty_layer(disk.active_path):
                raise LayerPathTaken(disk.active_path)

    def make(self) -> None:
        """Put a new layer on every disk, on all of them or on none. Raises HypervisorRefused, VmVanished."""
        self.make_layers()
        begun = self.clock.monotonic()
        with translated("put new layers on the VM's disks", vm_uuid=self.point.vm_uuid):
            if self.encrypted and not self.domain.isActive():
                self._name_layers()
            else:
                self._order_layers()
        self.taken_at = self.clock.now()
        took_ms = round((self.clock.monotonic() - begun) * 1000)
        log.info("fabric.layers.switched", vm=self.point.vm_name, point=self.point.id, took_ms=took_ms)

    def _order_layers(self) -> None:
        flags = (
            libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_DISK_ONLY
            | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_ATOMIC
            | libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_NO_METADATA
        )
        if self.encrypted:
            flags |= libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REUSE_EXT
        self.domain.snapshotCreateXML(self.xml, flags)

    def _name_layers(self) -> None:
        """Define a VM that is off on its new layers: what libvirt does too, but for naming what encrypted ones stand on."""
        root = parse(self.domain.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE | libvirt.VIR_DOMAIN_XML_SECURE))
        for disk in self.point.disks:
            element = disk_element(root, disk.name)
            assert element is not None  # noqa: S101 - the point was made of this definition
            name_chain(element, read_chain(disk.active_path, DiskFormat.QCOW2, disk=disk.name))
        self.domain.connect().defineXML(unparse(root))
        if self.domain.isActive():
            raise HypervisorRefused("put new layers on the VM's disks", "the VM was started meanwhile")
