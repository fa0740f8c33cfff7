import base64
from typing import Any

import pytest

from vmkeep.base.clock import FakeClock
from vmkeep.fabric.errors import GuestAgentRefused, GuestAgentSilent
from vmkeep.fabric.live_files import LIMIT_S, LiveFiles, read_file_systems, read_survey
from vmkeep.fabric.offline.collection import collect
from vmkeep.fabric.offline.errors import GuestPathNotFound, GuestPathUnfit

LOG = "/var/log/waagent.log"


def line(kind: str, size: int, path: str, target: str = "") -> str:
    return f"{kind}\t{size}\t644\t1767225600.5\t{target}\t{path}\0"


class FakeDomain:
    """A guest of which a survey finds these files."""

    def __init__(self, content: dict[str, str], *, links: dict[str, str] | None = None) -> None:
        self.content = content
        self.survey = "".join(line("f", len(text), path) for path, text in content.items())
        self.survey += "".join(line("l", 1, path, target) for path, target in (links or {}).items())
        self.open: dict[int, list[int | str]] = {}
        self.hangs = False

    def name(self) -> str:
        return "web01"

    def answer(self, command: str, arguments: dict[str, Any]) -> Any:  # as the guest's JSON
        match command:
            case "guest-file-open":
                self.open[7] = [arguments["path"], 0]
                return 7
            case "guest-file-seek":
                self.open[7][1] = arguments["offset"]
                return {}
            case "guest-file-read":
                path, at = self.open[7]
                part = self.content[str(path)][int(at) :][: arguments["count"]]
                self.open[7][1] = int(at) + len(part)
                return {"buf-b64": base64.b64encode(part.encode()).decode()}
            case "guest-file-close":
                del self.open[7]
                return {}
            case _:
                return [
                    {"name": "vda1", "type": "ext4", "mountpoint": "/", "total-bytes": 9, "used-bytes": 4}
                ]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(autouse=True)
def agent(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(domain: FakeDomain, command: str, **arguments: object) -> object:
        if domain.hangs:
            raise GuestAgentSilent("web01", command, "it hangs")
        return domain.answer(command, arguments)

    monkeypatch.setattr("vmkeep.fabric.guest_agent.ask", ask)
    monkeypatch.setattr(
        "vmkeep.fabric.guest_agent.run_script", lambda domain, *_args, **_kwargs: domain.survey
    )


def live(domain: FakeDomain, clock: FakeClock) -> LiveFiles:
    return LiveFiles(domain, clock)


def test_a_file_is_read_from_either_end_and_closed(clock: FakeClock) -> None:
    domain = FakeDomain({LOG: "0123456789"})
    files = live(domain, clock)
    assert files.read(LOG, limit=99) == b"0123456789"
    assert files.read(LOG, limit=3) == b"012"
    assert files.read(LOG, limit=3, from_end=True) == b"789"
    assert not domain.open


def test_only_regular_files_that_the_survey_saw_are_opened(clock: FakeClock) -> None:
    domain = FakeDomain({}, links={"/round": "/round"})
    domain.survey += line("p", 0, "/pipe")
    files = live(domain, clock)
    with pytest.raises(GuestPathNotFound):
        files.read("/etc/shadow", limit=1)
    for path in ("/pipe", "/round"):
        with pytest.raises(GuestPathUnfit):
            files.read(path, limit=1)


def test_a_symlink_leads_within_what_was_seen(clock: FakeClock) -> None:
    files = live(
        FakeDomain({"/usr/lib/os-release": "ID=x"}, links={"/etc/os-release": "../usr/lib/os-release"}), clock
    )
    assert files.read("/etc/os-release", limit=9) == b"ID=x"


def test_free_space_is_the_guests_own_word(clock: FakeClock) -> None:
    (root,) = live(FakeDomain({}), clock).file_systems
    assert (root.mounted_at, root.free_bytes) == ("/", 5)


def test_a_live_guest_gives_the_same_archive_as_one_read_from_outside(clock: FakeClock) -> None:
    domain = FakeDomain(
        {LOG: "password=canary\n", "/var/lib/waagent/ovf-env.xml": "<UserPassword>canary</UserPassword>"}
    )
    domain.survey += line("d", 1, "/var/lib/waagent")
    content = collect(live(domain, clock))
    assert {f"guest{LOG}", "guest/var/lib/waagent/ovf-env.xml", "observations.json"} <= content.keys()
    assert not [name for name, data in content.items() if b"canary" in data]


def test_a_guest_that_falls_silent_is_given_up(clock: FakeClock) -> None:
    domain = FakeDomain({LOG: "x"})
    files = live(domain, clock)
    domain.hangs = True
    with pytest.raises(GuestAgentSilent):
        collect(files)


def test_all_looks_together_are_bounded_in_time(clock: FakeClock) -> None:
    files = live(FakeDomain({LOG: "x"}), clock)
    clock.advance(LIMIT_S + 1)
    with pytest.raises(GuestAgentSilent, match="longer than"):
        files.read(LOG, limit=1)


def test_nonsense_of_the_agent_is_refused(clock: FakeClock) -> None:
    domain = FakeDomain({LOG: "x"})
    files = live(domain, clock)
    domain.answer = lambda *_: {"buf-b64": 7}  # type: ignore[method-assign]
    with pytest.raises(GuestAgentRefused):
        files.read(LOG, limit=1)


@pytest.mark.parametrize(
    "told",
    [None, 7, {}, [None], [{"name": "x"}], [{"name": 1, "type": 2, "mountpoint": 3, "total-bytes": "x"}]],
)
def test_nonsense_about_file_systems_is_left_out(told: object) -> None:
    assert read_file_systems(told) == ()


@pytest.mark.parametrize(
    "told", ["", "\0\0", "a\tb\0", "f\tx\t644\t1\t\t/p\0", "f\t1\t644\t1e99\t\t/p\0", "f\t1\t644\t1\t\t/cut"]
)
def test_nonsense_in_a_survey_is_left_out(told: str) -> None:
    assert read_survey(told) == {}
