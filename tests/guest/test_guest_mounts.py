"""Which mounts are frozen, and when; told from the kernel's own list."""

import os
from pathlib import Path

import pytest

from vmkeep_guest.mounts import Mount, to_freeze

USUAL = """\
21 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw,errors=remount-ro
22 21 0:19 / /proc rw - proc proc rw
23 21 0:20 / /run rw - tmpfs tmpfs rw,size=1g
24 21 8:15 / /boot/efi rw - vfat /dev/sda15 rw
25 21 8:2 / /data rw,noatime shared:7 master:3 - xfs /dev/sdb rw,attr2
26 25 8:3 / /data/deep rw - btrfs /dev/sdc rw
"""


def points(mountinfo: str, skipped: set[str] | None = None) -> list[str]:
    return [mount.point for mount in to_freeze(mountinfo.encode(), skipped or set())]


def test_deepest_first_and_root_last() -> None:
    assert points(USUAL) == ["/data/deep", "/data", "/"]


@pytest.mark.parametrize(
    "line",
    [
        "30 1 7:0 / /snap rw - ext4 /dev/loop0 rw",
        "30 1 8:9 / /cd ro - ext4 /dev/sdd ro",
        "30 1 0:40 / /nfs rw - nfs4 server:/x rw",
        "30 1 0:41 / /merged rw - overlay overlay rw",
    ],
    ids=["loop", "read-only", "network", "overlay"],
)
def test_what_cannot_or_need_not_be_frozen_is_left_out(line: str) -> None:
    assert points(USUAL + line) == points(USUAL)


def test_each_device_is_frozen_once() -> None:
    binds = "30 1 8:2 /sub /srv rw - xfs /dev/sdb rw\n31 1 8:1 /etc /mnt/etc ro - ext4 /dev/sda1 rw\n"
    assert points(USUAL + binds) == points(USUAL)


def test_root_stands_for_its_device_even_when_mounted_elsewhere_before() -> None:
    assert points("20 1 8:1 /x /early rw - ext4 /dev/sda1 rw\n" + USUAL)[-1] == "/"


def test_bind_mount_that_is_read_only_does_not_hide_a_writable_file_system() -> None:
    assert points("30 1 8:2 / /view ro - xfs /dev/sdb rw\n") == ["/view"]


def test_mount_hidden_by_another_is_reached_at_its_other_place() -> None:
    hidden = (
        "30 1 8:2 / /a rw - xfs /dev/sdb rw\n31 1 8:3 / /a rw - ext4 /dev/sdc rw\n"
        "32 1 8:2 / /b rw - xfs /dev/sdb rw\n"
    )
    assert points(hidden) == ["/b", "/a"]


def test_skipped_mount_points_are_left_out() -> None:
    assert points(USUAL, {"/data", "/"}) == ["/data/deep"]


def test_strange_names_are_understood() -> None:
    assert points("30 1 8:2 / /my\\040disk\\134x rw - xfs /dev/sdb rw\n") == ["/my disk\\x"]
    (mount,) = to_freeze(b"30 1 8:2 / /\xff rw - xfs /dev/sdb rw\n", set())
    assert os.fsencode(mount.point) == b"/\xff"
    assert mount.printable == "/\N{REPLACEMENT CHARACTER}"


def test_mount_is_opened_only_when_it_is_the_one_that_is_seen(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="mounted over it"):
        Mount(str(tmp_path), "99:99", "ext4").open()
    os.close(Mount(str(tmp_path), "99:99", "btrfs").open())
