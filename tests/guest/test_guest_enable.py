"""`enable`, as the agent sees it: settings in, host called, status out."""

from tests.guest.world import FakeHost, Guest, public_settings

from vmkeep_guest.command import Enable, Places
from vmkeep_guest.handler import Handler


def enable(guest: Guest, number: int) -> None:
    mountinfo = guest.agent / "mountinfo"
    mountinfo.touch()
    Enable(Handler(str(guest.extension)), number, Places(str(guest.azure), str(mountinfo))).run()


def test_backup_reports_success_with_its_disks(guest: Guest, host: FakeHost) -> None:
    guest.write_settings(0, public_settings(), {})
    enable(guest, 0)
    assert host.calls() == ["presnapshot", "dosnapshot", "postsnapshot"]
    assert guest.status(0)["code"] == "1"
    assert guest.report(0)["snapshotInfo"][0]["snapshotUri"] == "https://host/a"
