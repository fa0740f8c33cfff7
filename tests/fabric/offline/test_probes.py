import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.fabric.offline.images import SYSTEM, RawDisk, make_file_system
from vmkeep.base.clock import SystemClock
from vmkeep.diagnosis.evidence import OfflineFact, Vantage
from vmkeep.fabric.offline.collection import collect
from vmkeep.fabric.offline.evidence import read_evidence
from vmkeep.fabric.offline.files import OfflineFiles, reading_offline
from vmkeep.fabric.offline.probes import Observation, look, read_log, read_package, read_settings

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
HANDLER = "var/lib/waagent/Microsoft.Azure.RecoveryServices.VMSnapshotLinux-1.0.1.0"
STATUS = (
    "Package: adduser\nStatus: install ok installed\nVersion: 3\n\n"
    "Package: waagent\nStatus: deinstall ok config-files\nVersion: 2.9.1.1-2\nDescription: x\n more\n\n"
)
LOG = (
    "2026-11-22T23:59:59.000001Z INFO Daemon started\n"
    "2026-11-23T01:00:00.5Z ERROR Daemon No route exists to 168.63.129.16\x1b[31m\n"
    "Traceback (most recent call last):\n"
)
CONTENT = {
    **SYSTEM,
    "etc/waagent.conf": "# a comment\nExtensions.Enabled=n\nProvisioning.Agent=auto\n",
    "etc/shadow": "root:canary",
    "lib/systemd/system/walinuxagent.service": "[Unit]\n",
    "etc/systemd/system/multi-user.target.wants/walinuxagent.service": Path(
        "/lib/systemd/system/walinuxagent.service"
    ),
    "var/lib/dpkg/status": STATUS,
    "var/log/waagent.log": LOG,
    "var/log/azure/steal.log": Path("/etc/shadow"),
    "var/log/azure/ext/extension.log": "password=canary\n",
    f"{HANDLER}/config/HandlerState": "Enabled",
    f"{HANDLER}/config/HandlerStatus": json.dumps({"status": "Ready", "code": 0, "nested": {"x": 1}}),
    f"{HANDLER}/config/1.settings": "canary",
    f"{HANDLER}/HandlerEnvironment.json": "[]",
    "var/lib/waagent/ovf-env.xml": "<UserPassword>canary</UserPassword>",
    "var/lib/waagent/x.pem": "canary",
}


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_file_system("ext4", tmp_path_factory.mktemp("guest") / "disk.img", CONTENT)


@pytest.fixture
def files(image: Path) -> Iterator[OfflineFiles]:
    with reading_offline(
        [RawDisk(image)], vm="web01", origin="restore point x", moment=MOMENT, clock=SystemClock()
    ) as files:
        yield files


def test_the_files_are_evidence_dated_as_of_the_layer(files: OfflineFiles) -> None:
    found = {one.fact: one for one in read_evidence(files)}
    assert {fact: one.value for fact, one in found.items()} == {
        OfflineFact.PACKAGE: "absent",
        OfflineFact.UNIT: "enabled",
        OfflineFact.EXTENSIONS: "n",
    }
    assert {one.at for one in found.values()} == {MOMENT}
    assert {one.vantage for one in found.values()} == {Vantage.OFFLINE}
    assert found[OfflineFact.EXTENSIONS].source == "/etc/waagent.conf in restore point x"


def test_probes_say_what_where_and_as_of_when(files: OfflineFiles) -> None:
    seen = {one.subject: one for one in look(files)}
    assert {(one.origin, one.moment, one.unanswered) for one in seen.values()} == {
        ("restore point x", MOMENT, "")
    }
    assert seen["os-release"].value["ID"] == "debian"
    assert seen["agent-package"].value["state"] == "config-files"
    assert seen["agent-program"].value == {"present": False}
    assert seen["agent-unit"].value["state"] == "enabled"
    assert seen["agent-config"].value == {"Extensions.Enabled": "n", "Provisioning.Agent": "auto"}
    (handler,) = seen["handlers"].value["handlers"].values()
    assert handler["state"] == "Enabled"
    assert handler["status"] == {"status": "Ready", "code": "0"}
    assert handler["has_environment"]
    assert not handler["has_manifest"]
    assert seen["file-systems"].value["file_systems"][0]["mounted_at"] == "/"
    assert all(json.dumps(Observation.to_json(one)) for one in seen.values())


def test_the_log_tells_its_last_time_and_known_troubles() -> None:
    seen = read_log(LOG)
    assert seen["last"] == "2026-11-23T01:00:00.500000+00:00"
    assert set(seen["signatures"]) == {
        "No route exists to 168.63.129.16",
        "Traceback (most recent call last)",
    }
    assert "\x1b" not in seen["signatures"]["No route exists to 168.63.129.16"]["line"]


@pytest.mark.parametrize("line", ["2026-99-99T00:00:00Z x", "\0\0", "2026-11-23T01:00", ""])
def test_a_log_without_times_has_no_last_time(line: str) -> None:
    assert read_log(line)["last"] is None


def test_a_package_that_never_was_there_is_absent() -> None:
    assert read_package("Package: adduser\nStatus: install ok installed\n") == {"state": "absent"}


def test_settings_lose_quotes_and_comments() -> None:
    assert read_settings('A="b c"\n #C=d\nE=f # g\nnonsense\n') == {"A": "b c", "E": "f"}


def test_an_archive_has_the_agents_files_without_secrets(files: OfflineFiles) -> None:
    content = {name: data.decode() for name, data in collect(files).items()}
    assert not [name for name, text in content.items() if "canary" in text]
    assert content["guest/var/log/waagent.log"].startswith("2026-11-22")
    assert {
        "guest/etc/waagent.conf",
        "guest/var/log/azure/ext/extension.log",
        "guest/var/lib/waagent/ovf-env.xml",
        "observations.json",
    } <= content.keys()
    manifest = json.loads(content["manifest.json"])
    assert (manifest["vm"], manifest["origin"], manifest["moment"]) == (
        "web01",
        "restore point x",
        MOMENT.isoformat(),
    )
    assert {one["name"]: one["redacted"] for one in manifest["files"]}[
        "guest/var/lib/waagent/ovf-env.xml"
    ] == 1
