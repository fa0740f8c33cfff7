"""A restored VM's definition shares nothing with the original's."""

from pathlib import Path

import pytest

from vmkeep.fabric.domain_xml import parse
from vmkeep.fabric.errors import MachineDefinitionUnusable
from vmkeep.fabric.restore import MARK, new_machine_xml
from vmkeep.model.machine import DiskFormat

ORIGINAL = """
<domain type='kvm' id='7'>
  <name>web</name><uuid>11111111-1111-1111-1111-111111111111</uuid>
  <genid>22222222-2222-2222-2222-222222222222</genid>
  <metadata><app:note xmlns:app='urn:app'>keep me</app:note></metadata>
  <sysinfo type='smbios'><system><entry name='uuid'>11111111-1111-1111-1111-111111111111</entry></system></sysinfo>
  <os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type>
    <nvram template='/usr/share/OVMF/VARS.fd'>/var/lib/libvirt/qemu/nvram/web_VARS.fd</nvram></os>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/>
      <source file='/d/web.vmkeep-p1.qcow2' index='3'/>
      <backingStore type='file' index='1'><format type='qcow2'/><source file='/d/web.qcow2'/></backingStore>
      <target dev='vda' bus='virtio'/><alias name='virtio-disk0'/><address type='pci' slot='0x04'/></disk>
    <disk type='network' device='disk'><driver name='qemu' type='raw'/>
      <source protocol='rbd' name='pool/x'/><target dev='vdb' bus='virtio'/></disk>
    <disk type='file' device='cdrom'><source file='/iso/setup.iso'/><target dev='sda' bus='sata'/><readonly/></disk>
    <interface type='network'><mac address='52:54:00:00:00:01'/>
      <source network='default' portid='33333333-3333-3333-3333-333333333333' bridge='virbr0'/>
      <target dev='vnet4'/><model type='virtio'/><alias name='net0'/>
      <filterref filter='clean-traffic'><parameter name='IP' value='10.0.0.5'/></filterref></interface>
    <serial type='file'><source path='/var/log/web.log'/><target port='0'/></serial>
    <console type='pty' tty='/dev/pts/4'><source path='/dev/pts/4'/><target type='serial' port='0'/></console>
    <channel type='unix'><source mode='bind' path='/var/lib/libvirt/qemu/channel/target/domain-7-web/agent'/>
      <target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>
    <graphics type='vnc' port='5901' autoport='no' listen='127.0.0.1'/>
    <hostdev mode='subsystem' type='pci'><source><address bus='0x05'/></source></hostdev>
  </devices>
  <seclabel type='dynamic' model='apparmor'><label>libvirt-1111</label></seclabel>
</domain>"""

NEW_UUID = "99999999-9999-9999-9999-999999999999"


def new_xml(network: str | None = None) -> str:
    return new_machine_xml(
        ORIGINAL,
        name="web-restored",
        vm_uuid=NEW_UUID,
        disk_images={"vda": (Path("/r/vda.raw"), DiskFormat.RAW)},
        network=network,
    )


@pytest.mark.parametrize(
    "left_over",
    [
        "11111111-1111-1111-1111-111111111111</uuid>",
        "22222222-2222-2222-2222-222222222222",
        "33333333-3333-3333-3333-333333333333",
        "web_VARS.fd",
        "/d/web",
        "backingStore",
        "pool/x",
        "setup.iso",
        "52:54:00:00:00:01",
        "vnet4",
        "virbr0",
        "10.0.0.5",
        "/var/log/web.log",
        "/dev/pts",
        "domain-7-web",
        "connected",
        "5901",
        "hostdev",
        "libvirt-1111",
        "alias",
        'id="7"',
    ],
)
def test_nothing_that_only_one_vm_can_own_is_carried_over(left_over: str) -> None:
    assert left_over in ORIGINAL.replace("id='7'", 'id="7"')
    assert left_over not in new_xml()


def test_new_vm_is_what_was_asked_for() -> None:
    root = parse(new_xml())
    assert (root.findtext("name"), root.findtext("uuid")) == ("web-restored", NEW_UUID)
    [disk] = root.findall("devices/disk[@device='disk']")
    assert disk.find("source[@file='/r/vda.raw']") is not None
    assert disk.find("driver[@type='raw'][@cache='none']") is not None
    assert disk.find("address") is not None
    assert len(root.findall("devices/disk[@device='cdrom']")) == 1
    assert root.find("devices/interface/source[@network='default']") is not None
    assert root.find("devices/graphics[@autoport='yes']") is not None
    assert root.find("sysinfo/system/entry").text == NEW_UUID  # type: ignore[union-attr] # it is in the original


def test_vm_tells_where_it_came_from_and_keeps_other_metadata() -> None:
    root = parse(new_xml())
    mark = root.find(f"metadata/{MARK}")
    assert mark is not None
    assert mark.get("from") == "11111111-1111-1111-1111-111111111111"
    assert "keep me" in new_xml()


def test_wanted_network_replaces_the_original_one() -> None:
    root = parse(new_xml("closed"))
    assert [source.get("network") for source in root.findall("devices/interface/source")] == ["closed"]


def test_restoring_a_restored_vm_marks_it_once() -> None:
    again = new_machine_xml(new_xml(), name="third", vm_uuid="u", disk_images={}, network=None)
    assert [mark.get("from") for mark in parse(again).findall(f"metadata/{MARK}")] == [NEW_UUID]


@pytest.mark.parametrize("xml", ["no xml", "<network/>", "<domain/>"])
def test_what_is_no_vm_is_refused(xml: str) -> None:
    with pytest.raises(MachineDefinitionUnusable):
        new_machine_xml(xml, name="n", vm_uuid="u", disk_images={}, network=None)
