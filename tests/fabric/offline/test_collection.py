import io
import json
import os
import tarfile
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.fabric.offline.images import FILE_SYSTEMS, SYSTEM, RawDisk, make_file_system, run
from vmkeep.base.clock import FakeClock, SystemClock
from vmkeep.base.errors import VmkeepError
from vmkeep.fabric.collecting import Way, collect_machine
from vmkeep.fabric.errors import GuestAgentSilent
from vmkeep.fabric.offline.errors import GuestPathUnfit, OfflineReaderUnavailable, OfflineReadTimedOut
from vmkeep.fabric.offline.files import GuestFiles, OfflineFiles, reading_offline
from vmkeep.fabric.offline.probes import look
from vmkeep.model.machine import MachineState, VirtualMachine

NOW = datetime(2026, 1, 1, tzinfo=UTC)
VM = VirtualMachine("uuid-web01", "web01", MachineState.OFF, ())
LOG = "var/log/waagent.log"


def opened(image: Path) -> AbstractContextManager[OfflineFiles]:
    return reading_offline([RawDisk(image)], vm="web01", origin="test", moment=NOW, clock=SystemClock())


def unpacked(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr] # all are files


def collected(*ways: Way) -> dict[str, bytes]:
    return unpacked(collect_machine(VM, [], ways, now=NOW))


def failing(error: VmkeepError) -> Way:
    def way() -> AbstractContextManager[GuestFiles]:
        raise error

    return way


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return make_file_system("ext4", tmp_path / "disk.img", {**SYSTEM, LOG: "hello\n"})


def test_our_side_is_in_the_archive_too(image: Path) -> None:
    content = collected(lambda: opened(image))
    assert json.loads(content["host/vm.json"])["vm"]["name"] == "web01"
    assert {"host/vmkeep.log", "host/qemu.log", f"guest/{LOG}"} <= content.keys()


def test_a_silent_guest_is_read_from_outside(image: Path) -> None:
    silent = GuestAgentSilent("web01", "guest-exec", "it hangs")
    content = collected(failing(silent), lambda: opened(image))
    manifest = json.loads(content["manifest.json"])
    assert manifest["origin"] == "test"
    assert "it hangs" in manifest["unreached"][0]
    assert content[f"guest/{LOG}"] == b"hello\n"


def test_without_a_sandbox_nothing_of_the_guest_is_read(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda tool: None if tool == "bwrap" else f"/usr/bin/{tool}")
    with pytest.raises(OfflineReaderUnavailable, match="bwrap is not installed"), opened(image):
        pass
    content = collected(lambda: opened(image))
    assert "Install bubblewrap" in json.loads(content["manifest.json"])["unreached"][0]
    assert not [name for name in content if name.startswith("guest/")]


def test_a_sandbox_that_does_not_start_says_why(image: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmkeep.fabric.offline.sandbox._isolation", lambda: ["--no-such-option"])
    with pytest.raises(OfflineReaderUnavailable, match="no-such-option"), opened(image):
        pass


def test_hostile_names_stay_harmless_in_the_archive(tmp_path: Path) -> None:
    folder = "var/log/azure"
    names = ("-rf.log", "a b$(id).log", "\x1b[31m.log", "ünder.log", "...log", "x" * 200 + ".log")
    hostile = make_file_system(
        "ext4", tmp_path / "disk.img", {**SYSTEM, **{f"{folder}/{name}": name for name in names}}
    )
    packed = [name for name in collected(lambda: opened(hostile)) if name.startswith("guest/var/log/azure/")]
    assert len(packed) == len(names)
    for name in packed:
        assert name.isascii()
        assert name.isprintable()
        assert ".." not in name.split("/")


def test_a_log_that_was_being_written_is_collected_without_what_is_lost(tmp_path: Path) -> None:
    binary = "var/log/azure/binary.log"
    content = {**SYSTEM, LOG: f"first\n{chr(0) * 5000}of a canary\nlast\n{chr(0) * 9}", binary: "\0\1canary"}
    image = make_file_system("ext4", tmp_path / "disk.img", content)
    packed = collected(lambda: opened(image))
    assert packed[f"guest/{LOG}"] == b"first\nlast\n"
    assert f"guest/{binary}" not in packed
    [entry] = [one for one in json.loads(packed["manifest.json"])["files"] if one["path"] == f"/{LOG}"]
    assert entry["zero_bytes"] == 5009


def test_symlinks_pipes_and_devices_are_not_collected(tmp_path: Path) -> None:
    content = {
        **SYSTEM,
        LOG: Path("/etc/shadow"),
        "etc/shadow": "canary",
        "var/log/azure": Path("/etc"),
        "etc/x.log": "canary",
        "var/lib/waagent/a.xml": "<a/>",
    }
    image = make_file_system("ext4", tmp_path / "disk.img", content)
    run(
        "debugfs",
        "-w",
        "-f",
        "-",
        image,
        text="cd /var/lib/waagent\nmknod pipe.xml p\nmknod disk.xml b 8 0\n",
    )
    packed = collected(lambda: opened(image))
    assert not [name for name, data in packed.items() if b"canary" in data]
    with opened(image) as files, pytest.raises(GuestPathUnfit):
        files.read("/var/lib/waagent/pipe.xml", limit=1)


def _flip(image: Path, positions: Iterable[int]) -> None:
    with image.open("r+b") as file:
        for position in positions:
            byte = os.pread(file.fileno(), 1, position)[0]
            os.pwrite(file.fileno(), bytes([byte ^ 1 << position % 8]), position)


@pytest.mark.slow
@pytest.mark.parametrize("kind", FILE_SYSTEMS)
def test_flipped_bits_end_in_an_answer_or_an_error(kind: str, tmp_path: Path) -> None:
    content = {**SYSTEM, LOG: "hello\n" * 999, "var/lib/waagent/a.xml": "<a/>"}
    image = make_file_system(kind, tmp_path / "disk.img", content)
    data = image.read_bytes()
    written = [at for at in range(0, len(data), 512) if any(data[at : at + 512])]
    for turn in range(8):
        positions = [at + (at * 31 + turn * 97) % 512 for at in written[turn :: 3 + 5 * turn]]
        _flip(image, positions)
        manifest = json.loads(collected(lambda: opened(image))["manifest.json"])
        _flip(image, positions)
        assert manifest["origin"] or manifest["unreached"]


def test_a_reader_that_was_late_is_asked_nothing_more(tmp_path: Path) -> None:
    image = make_file_system("ext4", tmp_path / "disk.img", {**SYSTEM, LOG: "hello\n" * 100_000})
    clock = FakeClock()

    class Late(RawDisk):
        late_s = 0.0

        def read(self, offset: int, length: int) -> bytes:
            clock.advance(self.late_s)
            return super().read(offset, length)

    disk = Late(image)
    with reading_offline([disk], vm="web01", origin="test", moment=NOW, clock=clock, limit_s=30) as files:
        disk.late_s = 40
        with pytest.raises(OfflineReadTimedOut):
            files.read(f"/{LOG}", limit=1 << 20)
        disk.late_s = 0
        with pytest.raises(OfflineReadTimedOut):
            files.exists("/")
        assert all(one.unanswered for one in look(files) if one.subject != "file-systems")
