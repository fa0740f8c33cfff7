"""What a person is told to do fits the guest's distribution."""

import pytest

from tests.diagnosis.scenes import AT, HEALTHY, SCENES
from vmkeep.diagnosis.evidence import Evidence, GuestFact, Seen
from vmkeep.diagnosis.steps import Family, family_of, steps_for
from vmkeep.diagnosis.tree import TREE
from vmkeep.diagnosis.verdict import judge


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("Debian GNU/Linux 12 (bookworm)", Family.DEBIAN),
        ("Ubuntu 24.04.1 LTS", Family.UBUNTU),
        ("Red Hat Enterprise Linux 9.4 (Plow)", Family.RED_HAT),
        ("Rocky Linux 9.3 (Blue Onyx)", Family.RED_HAT),
        ("openSUSE Leap 15.6", Family.SUSE),
        ("Slackware 15", Family.UNKNOWN),
    ],
)
def test_distributions_are_known_by_their_own_names(name: str, family: Family) -> None:
    assert family_of(name) is family


def test_package_is_called_as_the_distribution_calls_it() -> None:
    assert "apt-get install walinuxagent" in steps_for("A1", "Ubuntu 22.04 LTS")
    assert "apt-get install waagent" in steps_for("A1", "Debian GNU/Linux 12 (bookworm)")
    assert "dnf install WALinuxAgent" in steps_for("A1", "Fedora Linux 41")
    assert steps_for("A1", None) == ()


def test_diagnosis_tells_the_steps_for_this_guest() -> None:
    facts = SCENES["A1"] | {GuestFact.DISTRIBUTION: "Ubuntu 24.04.1 LTS"}
    seen = Seen(Evidence(fact, value, AT, "recorded") for fact, value in facts.items())
    found = judge(TREE, seen, vm_name="web01", at=AT)
    assert "apt-get install walinuxagent" in found.to_json()["steps"]


def test_what_vmkeep_does_itself_needs_no_steps() -> None:
    for cause in (cause for cause in TREE if cause.mend):
        assert steps_for(cause.id, HEALTHY[GuestFact.DISTRIBUTION]) == ()
