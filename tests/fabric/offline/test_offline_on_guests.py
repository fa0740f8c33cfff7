"""The files of a real guest, read out of its frozen layers while nobody in it helps."""

from pathlib import Path

import pytest

from tests.fabric.on_guests import capture, new_fabric
from tests.lab.guest import Guest
from vmkeep.fabric.offline.probes import look

pytestmark = pytest.mark.qemu

LOG = "/var/log/waagent.log"


def test_a_guest_without_any_agent_is_read_as_it_was(guest: Guest, tmp_path: Path) -> None:
    fabric = new_fabric(tmp_path)
    guest.run("systemctl", "stop", "walinuxagent")
    guest.run("sh", "-c", f"echo last words >> {LOG}; sync")
    log = guest.read_file(LOG)
    guest.run("systemd-run", "--on-active=1", "systemctl", "stop", "qemu-guest-agent")
    guest.wait_for(lambda: not guest.answers(), "qemu-guest-agent is gone")

    point = capture(fabric, guest.uuid, "dead")
    with fabric.open_offline(guest.uuid) as files:
        seen = {one.subject: one for one in look(files)}
        assert files.read(LOG, limit=len(log) + 1) == log
        root = next(one for one in files.file_systems if one.mounted_at == "/")

    assert point.frozen_s is None
    assert root.journal.startswith("replayed")
    assert seen["os-release"].value["ID"] == "debian"
    assert seen["agent-package"].value["state"] == "installed"
    assert seen["agent-unit"].value["state"] == "enabled"
    assert {one.moment for one in seen.values()} == {point.time}
