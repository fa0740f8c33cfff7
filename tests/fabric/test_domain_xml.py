"""Which disks of a definition can be captured, and how they are numbered."""

import pytest

from vmkeep.fabric.domain_xml import captured_disks, excluded_disks, has_guest_agent, list_interfaces, parse

QCOW2 = "<driver name='qemu' type='qcow2'/>"


def domain(*devices: str) -> str:
    return f"<domain><name>vm</name><devices>{''.join(devices)}</devices></domain>"


def disk(
    target: str, inner: str = "", *, kind: str = "file", device: str = "disk", driver: str = QCOW2
) -> str:
    return f"""<disk type='{kind}' device='{device}'>{driver}<source file='/d/{target}'/>
      <target dev='{target}'/>{inner}</disk>"""


def test_first_disk_is_the_os_disk_and_the_others_count_from_zero() -> None:
    root = parse(domain(disk("vda"), disk("sda"), disk("vdb")))
    assert [(lun, found.target) for lun, found in captured_disks(root)] == [
        (-1, "vda"),
        (0, "sda"),
        (1, "vdb"),
    ]


def test_boot_order_names_the_os_disk() -> None:
    root = parse(domain(disk("vda"), disk("vdb", "<boot order='1'/>"), disk("hdc", device="cdrom")))
    assert [(lun, found.target) for lun, found in captured_disks(root)] == [(-1, "vdb"), (0, "vda")]


def test_os_disk_that_cannot_be_captured_leaves_no_lun_minus_one() -> None:
    root = parse(domain(disk("vda", "<shareable/>"), disk("vdb")))
    assert [(lun, found.target) for lun, found in captured_disks(root)] == [(0, "vdb")]


@pytest.mark.parametrize(
    ("xml", "why"),
    [
        (disk("vda", device="cdrom"), "cdrom"),
        (disk("vda", device="floppy"), "floppy"),
        (disk("vda", device="lun"), "lun"),
        (disk("vda", "<readonly/>"), "read-only"),
        (disk("vda", "<shareable/>"), "shareable"),
        (disk("vda", "<transient/>"), "transient"),
        (disk("vda", kind="network"), "network storage"),
        (disk("vda", kind="block"), "block storage"),
        (disk("vda", "<encryption format='qcow'/>"), "encrypted as qcow by qemu"),
        (disk("vda", "<encryption format='luks' engine='librbd'/>"), "encrypted as luks by librbd"),
        (
            disk("vda", "<encryption format='luks'><secret type='passphrase' usage='x'/></encryption>"),
            "encrypted with a secret that is not named by its UUID",
        ),
        (disk("vda", driver="<driver name='qemu' type='vmdk'/>"), "format vmdk"),
        (disk("vda", driver=""), "format unknown"),
    ],
)
def test_disks_that_cannot_be_captured_are_named_with_the_reason(xml: str, why: str) -> None:
    root = parse(domain(xml))
    assert excluded_disks(root) == (f"vda ({why})",)
    assert captured_disks(root) == []


def test_interfaces_tell_their_tap_and_network() -> None:
    [nic] = list_interfaces(
        parse(
            domain(
                "<interface type='network'><mac address='52:54:00:AA:00:01'/><target dev='vnet3'/>"
                "<source network='n' bridge='b'/></interface>"
            )
        )
    )
    assert (nic.mac, nic.network, nic.bridge, nic.tap, nic.filtered) == (
        "52:54:00:aa:00:01",
        "n",
        "b",
        "vnet3",
        False,
    )


@pytest.mark.parametrize(("state", "there"), [("connected", True), ("disconnected", False)])
def test_guest_agent_is_there_when_its_channel_is_open(state: str, there: object) -> None:
    channel = f"<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='{state}'/></channel>"
    assert has_guest_agent(parse(domain(channel))) is there
