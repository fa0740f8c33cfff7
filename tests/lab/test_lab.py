"""The lab keeps its own promises."""

import os
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from tests.lab.guest import Guest
from tests.lab.lab import Lab
from tests.lab.network import WIRE_SERVER
from tests.lab.saved import saved_guest
from tests.lab.tools import CLOCK, run, wait_for

pytestmark = pytest.mark.qemu


def agent_processes(guest: Guest) -> int:
    return int(guest.run("pgrep", "-cf", "waagent -(daemon|run-exthandlers)"))


def test_restored_guest_runs_the_azure_agent(guest: Guest) -> None:
    assert agent_processes(guest) == 2


def test_restored_guest_knows_the_time_and_its_name(guest: Guest) -> None:
    assert guest.run("hostname").strip() == guest.name
    assert abs(int(guest.run("date", "+%s")) - int(run("date", "+%s"))) <= 30


def test_restored_guest_polls_the_wire_server(guest: Guest) -> None:
    with socket.create_server((WIRE_SERVER, 80)) as door:
        door.settimeout(60)
        line, peer = door.accept()
        with line:
            assert b"User-Agent: WALinuxAgent/2.7.3.0" in line.recv(4096)
    assert peer[0] == guest.ip


def test_guest_has_its_address_from_the_labs_dhcp(lab: Lab, guest: Guest) -> None:
    leases = lab.connection.networkLookupByName("vmkeep").DHCPLeases()
    assert [(lease["mac"], lease["ipaddr"]) for lease in leases] == [(guest.mac, guest.ip)]


def test_disks_can_be_written_read_and_digested(guest: Guest) -> None:
    content = os.urandom(100_000)
    for path in ("/root/proof", "/data/proof"):
        guest.write_file(path, content)
        assert guest.read_file(path) == content
    assert guest.digest("/root/proof") == guest.digest("/data/proof")


@pytest.mark.parametrize("visit", ["first", "second"])
def test_each_test_sees_clean_disks(guest: Guest, visit: str) -> None:
    traces = ("/root/trace", "/data/trace")
    assert [guest.exec(["test", "-e", trace]).rc for trace in traces] == [1, 1]
    for trace in traces:
        guest.write_file(trace, visit.encode())


def test_disks_come_in_both_formats(guest: Guest) -> None:
    assert {device: path.suffix for device, path in guest.disks.items()} == {"vda": ".qcow2", "vdb": ".raw"}


def test_data_disk_can_be_qcow2(guest_on_qcow2: Guest) -> None:
    assert {path.suffix for path in guest_on_qcow2.disks.values()} == {".qcow2"}
    guest_on_qcow2.write_file("/data/proof", b"proof")


def test_writer_sees_how_long_file_systems_were_frozen(guest: Guest) -> None:
    frozen_s = 1.0
    with guest.writer() as writes:
        guest.ask_agent("guest-fsfreeze-freeze")
        CLOCK.sleep(frozen_s)
        guest.ask_agent("guest-fsfreeze-thaw")
    assert writes.count > 1
    assert writes.longest_gap_s >= frozen_s


def test_paused_guest_is_silent_until_resumed(guest: Guest) -> None:
    guest.pause()
    assert not guest.answers()
    guest.resume()
    guest.wait_until_up()


def test_guest_boots_from_its_own_disk_and_keeps_what_it_wrote(guest: Guest) -> None:
    guest.write_file("/data/proof", b"proof")
    guest.power_off()
    guest.boot()
    assert guest.read_file("/data/proof") == b"proof"
    assert guest.run("hostname").strip() == guest.name


def test_two_guests_run_side_by_side(guest_pair: tuple[Guest, Guest]) -> None:
    alpha, beta = guest_pair
    assert alpha.run("cat", "/etc/machine-id") != beta.run("cat", "/etc/machine-id")
    reach_beta = f"import socket; socket.create_connection(('{beta.ip}', 1))"
    assert "Connection refused" in alpha.exec(["python3", "-c", reach_beta]).err


def test_nothing_leaves_the_lab() -> None:
    assert run("ip", "-o", "route", "show", "default") == ""
    with pytest.raises(OSError, match="unreachable"):
        socket.create_connection(("192.0.2.1", 80), timeout=5)


DAEMON = "sleep 987654"


def runs(command: str) -> bool:
    return command in run("ps", "ax", "-o", "args").splitlines()


def test_lab_ends_everything_it_started_with_its_command(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    run("scripts/lab", "--bare", "sh", "-c", f"setsid {DAEMON} & echo > {trace}")
    assert trace.exists()
    assert not runs(DAEMON)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL], ids=["told to end", "killed"])
def test_lab_that_is_stopped_leaves_nothing_running(tmp_path: Path, number: signal.Signals) -> None:
    trace = tmp_path / "trace"
    command = ["scripts/lab", "--bare", "sh", "-c", f"setsid {DAEMON} & echo > {trace}; exec sleep 876543"]
    with subprocess.Popen(command) as inner:
        wait_for(trace.exists, "the inner lab is up")
        wait_for(lambda: runs("sleep 876543"), "its command runs")
        inner.send_signal(number)
    wait_for(lambda: not runs(DAEMON), "everything in the inner lab has ended")


def test_cached_guests_cannot_be_written_to(guest: Guest) -> None:
    base = saved_guest(guest.name) / "os.qcow2"
    with pytest.raises(OSError, match="Read-only"):
        base.open("r+b")
