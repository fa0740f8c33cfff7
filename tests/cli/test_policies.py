"""Policies on the command line, against a real service over HTTPS."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Vmkeep


@pytest.fixture(autouse=True)
def vault(vmkeep: Vmkeep) -> None:
    vmkeep("vault", "create", "main")


def test_policy_is_made_changed_shown_and_deleted(vmkeep: Vmkeep) -> None:
    made = vmkeep(
        "policy", "create", "nightly", "--at", "01:15", "--time-zone", "Europe/Berlin", "--weeks", "12"
    )
    assert "daily 01:15" in made.output
    assert "30 days, 12 weeks" in made.output
    changed = vmkeep("policy", "set", "NIGHTLY", "--years", "7", "--on", "Monday", "--weeks", "5").output
    assert "Mon 01:15" in changed
    assert "5 weeks, 7 years" in changed
    changed = vmkeep("policy", "set", "nightly", "--at", "03:00", "--instant-days", "5").output
    assert "Mon 03:00" in changed
    assert "Europe/Berlin" in vmkeep("policy", "list").output
    vmkeep("policy", "delete", "nightly")
    assert "nightly" not in vmkeep("policy", "list").output


def test_hourly_policy_keeps_its_window_when_its_start_moves(vmkeep: Vmkeep) -> None:
    vmkeep("policy", "create", "often", "--every", "4", "--at", "08:00", "--for", "8")
    assert "every 4 hours: 09:00, 13:00, 17:00" in vmkeep("policy", "set", "often", "--at", "09:00").output


def test_policy_comes_from_a_file_that_show_printed(vmkeep: Vmkeep, tmp_path: Path) -> None:
    file = tmp_path / "policy.json"
    file.write_text(vmkeep("policy", "show", "EnhancedPolicy", "-o", "json").output)
    made = json.loads(vmkeep("policy", "create", "copy", "--policy", str(file), "-o", "json").output)
    assert made["properties"]["policyType"] == "V2"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("policy", "create", "bad", "--time-zone", "Europe/Berlim"), "did you mean Europe/Berlin"),
        (("policy", "create", "bad", "--every", "5"), "4, 6, 8, 12 or 24"),
        (("policy", "create", "bad", "--at", "25:00"), "not a time"),
        (("policy", "create", "bad", "--on", "Someday"), "Monday"),
        (("policy", "create", "DefaultPolicy"), "policy set"),
        (("policy", "create", "bad", "--policy", "/nowhere.json"), "No such file"),
    ],
    ids=["zone", "interval", "time", "weekday", "exists", "no-file"],
)
def test_policy_that_makes_no_sense_is_refused_in_words(
    vmkeep: Vmkeep, arguments: tuple[str, ...], why: str
) -> None:
    assert why in vmkeep(*arguments, fails=True).output


def test_preview_shows_what_is_left_after_a_year(vmkeep: Vmkeep) -> None:
    vmkeep("policy", "create", "long", "--weeks", "8", "--months", "12", "--years", "3")
    shown = vmkeep("policy", "preview", "long").output
    assert "365 backups in the next year" in shown
    assert all(word in shown for word in ("daily", "weekly", "monthly", "yearly", "January", "·"))
    points = json.loads(vmkeep("policy", "preview", "long", "-o", "json").output)
    assert len(points) == 365
    assert sum("yearly" in point["rules"] for point in points) in {1, 2}


def test_item_shows_its_next_backup_and_changes_its_policy(vmkeep: Vmkeep) -> None:
    vmkeep("protection", "enable-for-vm", "--vm", "web01")
    assert ":30:00" in vmkeep("item", "list").output
    assert (
        "EnhancedPolicy"
        in vmkeep("item", "set-policy", "--vm", "web01", "--policy-name", "EnhancedPolicy").output
    )
    assert "items use it" in vmkeep("policy", "delete", "EnhancedPolicy", fails=True).output
    vmkeep("protection", "disable", "--vm", "web01")
    item = json.loads(vmkeep("item", "show", "--vm", "web01", "-o", "json").output)
    assert item["properties"]["vmkeep"]["nextBackup"] is None


def test_automatic_remedies_are_kept_when_a_client_does_not_know_of_them(
    vmkeep: Vmkeep, tmp_path: Path
) -> None:
    shown = json.loads(vmkeep("policy", "set", "DefaultPolicy", "--auto-remedy", "safe", "-o", "json").stdout)
    assert shown["properties"].pop("vmkeep") == {"autoRemedy": "safe"}
    file = tmp_path / "policy.json"
    file.write_text(json.dumps(shown))
    vmkeep("policy", "set", "DefaultPolicy", "--policy", str(file), "--at", "03:00")
    assert "safe" in vmkeep("policy", "show", "DefaultPolicy").stdout
    vmkeep("policy", "set", "DefaultPolicy", "--auto-remedy", "off")
    assert "safe" not in vmkeep("policy", "show", "DefaultPolicy").stdout
