"""What a guest may say of itself, and what it may not."""

import json
import subprocess

import pytest

from tests.diagnosis.scenes import AT
from vmkeep.diagnosis.evidence import GuestFact, HostFact, Vantage
from vmkeep.fabric import guest_agent, guest_look
from vmkeep.fabric.errors import GuestAgentRefused


def test_the_script_is_one_that_a_plain_shell_understands() -> None:
    subprocess.run(["/bin/sh", "-n", "-c", guest_look.SCRIPT], check=True)


def test_known_facts_are_taken_in_their_known_form() -> None:
    found = guest_look.read_answer("agent-unit=walinuxagent\nroot-free-kib=12\nclock=soon\n", AT)
    assert [(one.fact, one.value) for one in found] == [
        (GuestFact.AGENT_UNIT, "walinuxagent"),
        (GuestFact.ROOT_FREE_KIB, "12"),
    ]


@pytest.mark.parametrize("fact", list(HostFact))
def test_a_guest_cannot_state_a_fact_of_the_host(fact: HostFact) -> None:
    assert not guest_look.read_answer(f"{fact}=serving\n{fact}=none\n{fact}=now\n", AT)


def test_all_that_a_guest_says_counts_as_the_guests() -> None:
    found = guest_look.read_answer("python=works\ndistribution=Debian GNU/Linux 12 (bookworm)\n", AT)
    assert {one.vantage for one in found} == {Vantage.GUEST}


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param("[" * 60_000, id="nested"),
        pytest.param(json.dumps({"return": "x" * 70_000}), id="long"),
        pytest.param('{"error": 1}', id="no-return"),
        pytest.param("[1]", id="a-list"),
        pytest.param("", id="empty"),
    ],
)
def test_answers_that_are_none_are_refused(answer: str) -> None:
    with pytest.raises(GuestAgentRefused):
        guest_agent.read_answer(answer, "web01", "guest-exec")
