"""The files of a real guest, read out of its frozen layers while nobody in it helps."""

import io
import json
import tarfile
from pathlib import Path

import pytest

from tests.fabric.on_guests import capture, new_fabric
from tests.lab.guest import Guest
from vmkeep.fabric.offline.probes import look

pytestmark = pytest.mark.qemu

LOG = "/var/log/waagent.log"


SECRET = "password=canary"


def unpacked(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr] # all are files


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


def test_logs_are_collected_live_then_of_the_point_then_of_the_vm_that_is_off(
    guest: Guest, tmp_path: Path
) -> None:
    fabric = new_fabric(tmp_path)
    guest.run(
        "sh", "-c", f"echo {SECRET} >> {LOG}; mkdir -p /var/log/azure; mkfifo /var/log/azure/x.log; sync"
    )
    collected = {"live": unpacked(fabric.collect(guest.uuid))}

    guest.run("systemd-run", "--on-active=1", "systemctl", "stop", "qemu-guest-agent")
    guest.wait_for(lambda: not guest.answers(), "qemu-guest-agent is gone")
    collected["nothing"] = unpacked(fabric.collect(guest.uuid))
    capture(fabric, guest.uuid, "dead")
    collected["point"] = unpacked(fabric.collect(guest.uuid))
    guest.domain.destroy()
    collected["off"] = unpacked(fabric.collect(guest.uuid))

    manifests = {way: json.loads(content["manifest.json"]) for way, content in collected.items()}
    assert {way: manifest["origin"] for way, manifest in manifests.items()} == {
        "live": "the running guest, through qemu-guest-agent",
        "nothing": None,
        "point": "restore point dead",
        "off": "disks of the VM, which is off",
    }
    assert "has no restore point" in manifests["nothing"]["unreached"][0]
    for content in collected.values():
        assert not [name for name, data in content.items() if b"canary" in data]
        assert b"qemu-system" in content["host/qemu.log"]
    for way in ("live", "point", "off"):
        seen = {one["subject"]: one["value"] for one in json.loads(collected[way]["observations.json"])}
        assert not [one for one in manifests[way]["files"] if "left_out" in one], way
        assert b"***redacted***" in collected[way][f"guest{LOG}"]
        assert "guest/usr/lib/os-release" in collected[way]
        assert seen["agent-package"]["state"] == "installed"
        assert seen["agent-unit"]["state"] == "enabled"
        assert seen["agent-config"]["Extensions.Enabled"] == "y"
        assert seen["agent-log"]["last"]
        assert [
            one
            for one in seen["file-systems"]["file_systems"]
            if one["mounted_at"] == "/" and one["free_bytes"]
        ]
