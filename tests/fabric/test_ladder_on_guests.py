"""Each rung of the consistency ladder on a real guest, and what is said when one is left."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fabric.on_guests import capture, layers_in
from tests.lab.guest import Guest
from tests.lab.lab import Lab
from vmkeep.base.clock import SystemClock
from vmkeep.fabric.errors import WorkCancelled
from vmkeep.fabric.extension_errors import FreezeFailed
from vmkeep.fabric.fabric import Fabric
from vmkeep.fabric.freeze_watchdog import FreezeWatchdog
from vmkeep.fabric.host import Host
from vmkeep.fabric.position import GuestPositions
from vmkeep.fabric.script_errors import PreScriptFailed
from vmkeep.fabric.wire.extension_package import build_package
from vmkeep.fabric.wire.server import WireServer
from vmkeep.model.machine import AgentState, Consistency
from vmkeep.model.restore_point import Warned

pytestmark = pytest.mark.qemu

URI = "qemu:///system"
NO_AGENT = "UserErrorGuestAgentStatusUnavailable"
READY_LIMIT_S = 90


@pytest.fixture
def fabric(lab: Lab, tmp_path: Path) -> Iterator[Fabric]:
    """The fabric with its wire server, serving the lab's network as the service would."""
    lab.put_network()
    clock = SystemClock()
    wire = WireServer(
        state_dir=tmp_path,
        locator=GuestPositions(Host(URI), clock),
        clock=clock,
        package=build_package(tmp_path / "extension.zip"),
    )
    wire.start()
    fabric = Fabric(uri=URI, state_dir=tmp_path, clock=clock, wire=wire)
    assert fabric.serve_networks() == ["vmkeep0"]
    yield fabric
    wire.stop()


@pytest.fixture
def ready_guest(fabric: Fabric, guest: Guest) -> Guest:
    guest.wait_for(lambda: agent_of(fabric) is AgentState.READY, "the agent is ready", limit_s=READY_LIMIT_S)
    return guest


def agent_of(fabric: Fabric) -> AgentState:
    return fabric.get_machine("alpha").agent


def warnings_of(fabric: Fabric, point_id: str, guest: Guest) -> list[str]:
    point = fabric.find_point(guest.uuid, point_id)
    assert point is not None
    return [warned.code for warned in point.warnings]


def test_extension_freezes_the_guest_for_the_capture(fabric: Fabric, ready_guest: Guest) -> None:
    phases: list[str] = []
    for point_id in ("p1", "p2"):
        with ready_guest.writer() as writes:
            point = fabric.capture(
                ready_guest.uuid, point_id=point_id, on_phase=phases.append, cancelled=lambda: False
            )
        assert point.consistency is Consistency.FILE_SYSTEM
        assert not point.warnings
        assert point.frozen_s is not None
        assert point.frozen_s < 10
        assert writes.longest_gap_s < point.frozen_s + 1
    assert {"goal-state-seen", "presnapshot", "snapshot-taken", "thawed", "status"} <= set(phases)


SCRIPTS = {
    "pluginName": "ScriptRunner",
    "preScriptLocation": "/etc/azure/pre.sh",
    "postScriptLocation": "/etc/azure/post.sh",
    "preScriptParams": [],
    "postScriptParams": [],
    "preScriptNoOfRetries": 0,
    "postScriptNoOfRetries": 0,
    "timeoutInSeconds": 30,
    "fsFreezeEnabled": True,
}


@pytest.mark.timeout(600)
def test_trouble_in_the_guest_is_told_by_its_exact_code(fabric: Fabric, ready_guest: Guest) -> None:
    def trouble(point_id: str) -> Warned:
        point = capture(fabric, ready_guest.uuid, point_id)
        assert point.consistency is Consistency.FILE_SYSTEM
        [warned] = point.warnings
        return warned

    put_scripts(ready_guest, "sleep 60", timeoutInSeconds=1, continueBackupOnFailure=True)
    assert trouble("p1").code == "Pre-ScriptTimeout"
    ready_guest.run("chmod", "777", "/etc/azure/pre.sh")
    assert trouble("p2").code == "InsufficientPermissionforPre-Script"
    ready_guest.run("rm", "/etc/azure/pre.sh")
    assert trouble("p3").code == "Pre-ScriptNotFound"
    ready_guest.run("rm", "/etc/azure/VMSnapshotScriptPluginConfig.json")
    ready_guest.write_file("/etc/azure/vmbackup.conf", "[SnapshotThread]\n".encode("utf-16"))
    assert trouble("p4").code == "VMBackupLinuxExtensionConfFileWrongEncodingFormat"
    snapshot_calls = ("-p", "tcp", "-m", "string", "--algo", "bm", "--string", "recsvc/snapshot")
    ready_guest.run("iptables", "-I", "OUTPUT", *snapshot_calls, "-j", "REJECT", "--reject-with", "tcp-reset")
    assert trouble("p5").code == "ExtensionSnapshotFailedNoNetwork"
    assert agent_of(fabric) is AgentState.READY


@pytest.mark.timeout(600)
def test_mount_that_somebody_else_froze_fails_a_backup_that_must_be_consistent(
    fabric: Fabric, ready_guest: Guest
) -> None:
    before = ready_guest.disks
    ready_guest.run("fsfreeze", "--freeze", "/data")
    with pytest.raises(FreezeFailed) as caught:
        fabric.capture(
            ready_guest.uuid,
            point_id="p1",
            on_phase=lambda _phase: None,
            cancelled=lambda: False,
            least=Consistency.APPLICATION,
        )
    assert (caught.value.code, caught.value.mount) == ("UserErrorFsFreezeFailed", "/data")
    assert ready_guest.disks == before
    ready_guest.run("touch", "/data/thawed")  # by the host, for nobody said that it was


EXTENSION = "/var/lib/waagent/Microsoft.Azure.RecoveryServices.VMSnapshotLinux-9*"


@pytest.mark.timeout(600)
def test_damaged_extension_is_told_with_a_cure_that_works(fabric: Fabric, ready_guest: Guest) -> None:
    assert not capture(fabric, ready_guest.uuid, "p1").warnings
    ready_guest.run("sh", "-c", f"truncate -s 0 {EXTENSION}/HandlerManifest.json")
    [warned] = capture(fabric, ready_guest.uuid, "p2").warnings
    assert warned.code == "ExtensionOperationFailedForManagedDisks"
    assert "HandlerManifest.json" in warned.facts["said"]
    assert "remove /var/lib/waagent/*VMSnapshotLinux-9.*" in warned.advice
    ready_guest.run("sh", "-c", f"rm -r {EXTENSION}; systemctl restart walinuxagent")
    assert not capture(fabric, ready_guest.uuid, "p3").warnings


def put_scripts(guest: Guest, pre: str, **settings: object) -> None:
    guest.run("mkdir", "-p", "/etc/azure")
    for name, body in (("pre", pre), ("post", "true")):
        guest.write_file(f"/etc/azure/{name}.sh", f"#!/bin/sh\n{body}\n".encode())
        guest.run("chmod", "700", f"/etc/azure/{name}.sh")
    path = "/etc/azure/VMSnapshotScriptPluginConfig.json"
    guest.write_file(path, json.dumps(SCRIPTS | settings).encode())
    guest.run("chmod", "600", path)


def test_scripts_make_it_application_consistent_or_fail_it(fabric: Fabric, ready_guest: Guest) -> None:
    put_scripts(ready_guest, "true", continueBackupOnFailure=False)
    assert capture(fabric, ready_guest.uuid, "p1").consistency is Consistency.APPLICATION
    before = ready_guest.disks
    put_scripts(ready_guest, "exit 7", continueBackupOnFailure=False)
    with pytest.raises(PreScriptFailed):
        capture(fabric, ready_guest.uuid, "p2")
    assert ready_guest.disks == before
    assert fabric.find_point(ready_guest.uuid, "p2") is None


def test_stopped_agent_is_replaced_by_qemu_guest_agent_and_said(fabric: Fabric, ready_guest: Guest) -> None:
    ready_guest.run("systemctl", "stop", "walinuxagent")
    ready_guest.wait_for(lambda: agent_of(fabric) is AgentState.SILENT, "the agent is silent")
    point = capture(fabric, ready_guest.uuid, "p1")
    assert point.consistency is Consistency.FILE_SYSTEM
    assert warnings_of(fabric, "p1", ready_guest) == [NO_AGENT]


def test_guest_without_any_agent_is_captured_as_after_a_power_cut(fabric: Fabric, ready_guest: Guest) -> None:
    ready_guest.run("systemctl", "stop", "walinuxagent")
    ready_guest.start(["systemctl", "stop", "qemu-guest-agent"])
    ready_guest.wait_for(lambda: agent_of(fabric) is AgentState.SILENT, "the agent is silent")
    point = capture(fabric, ready_guest.uuid, "p1")
    assert point.consistency is Consistency.CRASH
    assert point.frozen_s is None
    assert warnings_of(fabric, "p1", ready_guest) == [NO_AGENT, "GuestAgentSilent"]


def test_cancelled_capture_leaves_nothing_behind(fabric: Fabric, ready_guest: Guest) -> None:
    before = ready_guest.disks
    seen: list[str] = []
    with pytest.raises(WorkCancelled):
        fabric.capture(ready_guest.uuid, point_id="p1", on_phase=seen.append, cancelled=lambda: len(seen) > 1)
    assert ready_guest.disks == before
    assert all(not layers_in(path.parent) for path in before.values())
    ready_guest.run("touch", "/data/thawed")
    assert fabric.check() == []


def test_watchdog_thaws_what_a_killed_freezer_left_frozen(fabric: Fabric, guest: Guest) -> None:
    with guest.writer() as writes:
        with FreezeWatchdog(
            "alpha", lambda: fabric.thaw(guest.uuid), limit_s=1, clock=SystemClock()
        ) as watchdog:
            guest.run("fsfreeze", "--freeze", "/data")  # and never thaws it again
            watchdog.frozen()
            guest.wait_for(lambda: watchdog.broke_in, "the watchdog thawed")
        count = guest.run("cat", "/data/writer")
        guest.wait_for(lambda: guest.run("cat", "/data/writer") != count, "the writer goes on")
    assert [warned.code for warned in watchdog.warnings] == ["GuestThawedByHost"]
    assert watchdog.frozen_s is not None
    assert watchdog.frozen_s >= 1
    assert writes.longest_gap_s >= 1
