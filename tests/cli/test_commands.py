"""The command line against a real service over HTTPS."""

import json
import re
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from tests.arm.running import Running
from tests.cli.conftest import Vmkeep
from vmkeep.base.clock import SystemClock
from vmkeep.base.errors import InvalidValue
from vmkeep.cli.dates import end_of_day
from vmkeep.cli.job_report import duration
from vmkeep.cli.printing import local_time
from vmkeep.model.job import JobError
from vmkeep.model.outlook import OutlookLine, Weight
from vmkeep.model.restore_point import Warned


def test_vm_list_shows_what_the_next_backup_should_reach(vmkeep: Vmkeep) -> None:
    shown = vmkeep("vm", "list").output
    assert re.search(r"web01 +running +2 +10\.0 GiB +10\.77\.0\.5 +ready", shown)
    assert "file-system" in vmkeep("vm", "show", "WEB01").output


def test_from_vault_to_restored_vm(vmkeep: Vmkeep, running: Running) -> None:
    vmkeep("vault", "create", "main")
    assert "IRPending" in vmkeep("protection", "enable-for-vm", "--vm", "web01").output
    backed_up = vmkeep("protection", "backup-now", "--vm", "web01", "--retain-until", "2099-12-24").output
    assert re.search(r"Status +Completed", backed_up)
    assert re.search(r"Frozen Seconds +0\.412 s", backed_up)
    assert re.search(r"Bytes Stored +1\.0 MiB", backed_up)
    points = vmkeep("recoverypoint", "list", "--vm", "web01").output
    assert "file-system" in points
    assert "2099-12-24 23:59:59" in points
    vmkeep("restore", "vm", "--vm", "web01", "--name", "web01-copy", "--network", "default")
    vmkeep("restore", "disks", "--vm", "web01", "--to", "/srv/out", "--format", "raw", "--disk", "vda")
    new_vm, disks = running.engine.restores
    assert (new_vm["name"], new_vm["network"]) == ("web01-copy", "default")
    assert (str(disks["folder"]), disks["format"], disks["disks"]) == ("/srv/out", "raw", ("vda",))
    assert "web01" in vmkeep("vault", "show", "main").output


def test_stopping_protection_keeps_the_points_unless_told(vmkeep: Vmkeep) -> None:
    vmkeep("vault", "create", "main")
    vmkeep("protection", "enable-for-vm", "--vm", "web01")
    vmkeep("protection", "backup-now", "--vm", "web01")
    assert "ProtectionStopped" in vmkeep("protection", "disable", "--vm", "web01").output
    assert "file-system" in vmkeep("recoverypoint", "list", "--vm", "web01").output
    assert "Protected" in vmkeep("protection", "enable-for-vm", "--vm", "web01").output
    vmkeep("protection", "disable", "--vm", "web01", "--delete-backup-data", fails=True)
    vmkeep("protection", "disable", "--vm", "web01", "--delete-backup-data", "--yes")
    assert "is not protected" in vmkeep("recoverypoint", "list", "--vm", "web01", fails=True).output
    vmkeep("vault", "delete", "main")


def test_stopped_protection_is_resumed_or_ages_as_the_policy_says(vmkeep: Vmkeep) -> None:
    vmkeep("vault", "create", "main")
    vmkeep("protection", "enable-for-vm", "--vm", "web01")
    vmkeep("protection", "backup-now", "--vm", "web01")
    aging = vmkeep("protection", "disable", "--vm", "web01", "--retain-recovery-points-as-per-policy")
    assert "BackupsSuspended" in aging.output
    refused = vmkeep("protection", "backup-now", "--vm", "web01", fails=True).stderr
    assert "This virtual machine is not (actively) protected by Azure Backup" in refused
    assert "vmkeep protection resume --vm web01" in refused
    assert re.search(r"State +Protected", vmkeep("protection", "resume", "--vm", "web01").output)
    assert "ProtectionStopped" in vmkeep("protection", "disable", "--vm", "web01", "--retain").output
    vmkeep("protection", "update-for-vm", "--vm", "web01", "--exclude-all-data-disks", fails=True)
    other = ("resume", "--vm", "web01", "--policy-name", "EnhancedPolicy")
    assert re.search(r"Policy +EnhancedPolicy", vmkeep("protection", *other).output)


def test_vm_of_a_stopped_item_can_be_protected_in_another_vault(vmkeep: Vmkeep) -> None:
    vmkeep("vault", "create", "old")
    vmkeep("vault", "create", "new")
    vmkeep("protection", "enable-for-vm", "--vm", "web01", "--vault", "old")
    vmkeep("protection", "backup-now", "--vm", "web01")
    vmkeep("protection", "disable", "--vm", "web01")
    vmkeep("protection", "enable-for-vm", "--vm", "web01", "--vault", "new")
    assert "vaults/new" in vmkeep("protection", "check-vm", "--vm", "web01").output
    assert "file-system" in vmkeep("recoverypoint", "list", "--vm", "web01", "--vault", "old").output
    resumed = vmkeep("protection", "resume", "--vm", "web01", "--vault", "old", fails=True).stderr
    assert "already protected in vault 'new'" in resumed
    vmkeep("protection", "backup-now", "--vm", "web01")
    assert "file-system" in vmkeep("recoverypoint", "list", "--vm", "web01", "--vault", "new").output


def test_disks_are_selected_as_with_az(vmkeep: Vmkeep) -> None:
    vmkeep("vault", "create", "main")
    exclude = ("--disk-list-setting", "exclude", "--diskslist", "0")
    assert "all but LUN 0" in vmkeep("protection", "enable-for-vm", "--vm", "web01", *exclude).output
    vmkeep("protection", "backup-now", "--vm", "web01")
    assert re.search(r"Left out.*\n.* vdb ", vmkeep("recoverypoint", "list", "--vm", "web01").output)
    update = ("protection", "update-for-vm", "--vm", "web01")
    assert "OS disk alone" in vmkeep(*update, "--exclude-all-data-disks").output
    include = ("--disk-list-setting", "include", "--diskslist")
    assert "OS disk and LUN 0" in vmkeep(*update, *include, "0", "0").output
    vmkeep("protection", "enable-for-vm", "--vm", "web01", "--policy", "EnhancedPolicy")
    kept = json.loads(vmkeep("protection", "resume", "--vm", "web01", "-o", "json").output)
    assert kept["properties"]["extendedProperties"] == {
        "diskExclusionProperties": {"diskLunList": [0], "isInclusionList": True}
    }
    unknown = vmkeep(*update, "--disk-list-setting", "exclude", "--diskslist", "0", "7", fails=True).stderr
    assert "no data disk with LUN 7; it has 0 (vdb)" in unknown
    reset = vmkeep(*update, "--disk-list-setting", "resetexclusionsettings", "-o", "json").output
    assert json.loads(reset)["properties"]["extendedProperties"] == {}


@pytest.mark.parametrize(
    "options",
    [
        "",
        "3",
        "--diskslist 0",
        "--disk-list-setting include",
        "--exclude-all-data-disks --disk-list-setting include --diskslist 0",
    ],
)
def test_half_said_disk_lists_are_not_understood(vmkeep: Vmkeep, options: str) -> None:
    assert vmkeep("protection", "update-for-vm", "--vm", "web01", *options.split(), fails=True).exit_code == 2


def test_check_vm_shows_everything_and_fails_when_the_backup_would(vmkeep: Vmkeep, running: Running) -> None:
    vmkeep("vault", "create", "main")
    assert "Vault: none" in vmkeep("protection", "check-vm", "--vm", "web01").output
    vmkeep("protection", "enable-for-vm", "--vm", "web01")
    silent = OutlookLine("Agent", Weight.WARNING, "the agent is silent", "SomeCode", "Start it.")
    running.engine.lines += [OutlookLine("Disks", Weight.GOOD, "vda: 8.0 GiB"), silent]
    shown = vmkeep("protection", "check-vm", "--vm", "WEB01").output
    assert "vaults/main" in shown
    assert re.search(r"Disks +ok +vda: 8.0 GiB", shown)
    assert shown.endswith("A backup would work now.\n")
    assert re.search(r"Agent +warning +SomeCode: the agent is silent +Start it\.", shown)
    running.engine.lines.append(OutlookLine("Capture", Weight.FAILURE, "the VM is paused"))
    assert re.search(r"Capture +FAILS", vmkeep("protection", "check-vm", "--vm", "web01", fails=True).output)
    answer = json.loads(vmkeep("protection", "check-vm", "--vm", "web01", "-o", "json", fails=True).output)
    assert answer["vaultId"].endswith("/vaults/main")
    assert (answer["willWork"], len(answer["lines"])) == (False, 3)


def test_waiting_shows_phases_until_the_job_ends(
    vmkeep: Vmkeep, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    vmkeep("vault", "create", "main")
    vmkeep("protection", "enable-for-vm", "--vm", "web01")
    running.engine.hold = True
    started = json.loads(
        vmkeep("protection", "backup-now", "--vm", "web01", "--no-wait", "-o", "json").output
    )
    monkeypatch.setattr(SystemClock, "sleep", lambda *_: running.engine.finish(started["name"]))
    waited = vmkeep("job", "wait", started["name"][:6])
    assert "Take Snapshot: InProgress 50 % (512.0 MiB of 1.0 GiB)" in waited.stderr
    assert re.search(r"Status +Completed", waited.stdout)


def test_a_failed_backup_exits_with_1_and_says_what_to_do(vmkeep: Vmkeep, running: Running) -> None:
    vmkeep("vault", "create", "main")
    vmkeep("protection", "enable-for-vm", "--vm", "web01")
    running.engine.failure = JobError("DiskVanished", "disk vda is gone", "Bring the disk back.")
    shown = vmkeep("protection", "backup-now", "--vm", "web01", fails=True).stdout
    assert "DiskVanished: disk vda is gone" in shown
    assert "Bring the disk back." in shown


def test_a_running_job_can_be_stopped(vmkeep: Vmkeep, running: Running) -> None:
    vmkeep("vault", "create", "main")
    vmkeep("protection", "enable-for-vm", "--vm", "web01")
    running.engine.hold = True
    vmkeep("protection", "backup-now", "--vm", "web01", "--no-wait")
    again = vmkeep("protection", "backup-now", "--vm", "web01", fails=True).stderr
    assert "another backup operation is currently in progress" in again
    (job,) = json.loads(vmkeep("job", "list", "--status", "InProgress", "-o", "json").output)
    assert "Cancelled" in vmkeep("job", "stop", job["name"][:8], fails=True).stdout
    assert "isn't in progress" in vmkeep("job", "stop", job["name"][:8], fails=True).stderr


@pytest.mark.parametrize(
    ("arguments", "what", "advice"),
    [
        ("vm show wbe01", "there is no VM 'wbe01' (did you mean web01 or db01?)", "vmkeep vm list"),
        ("vault show nope", "there is no vault 'nope'", "vmkeep vault list"),
        ("protection enable-for-vm --vm web01", "there is no vault yet", "vmkeep vault create"),
        ("protection backup-now --vm web01", "VM 'web01' is not protected", "enable-for-vm"),
        ("job show 12", "no job '12'", "vmkeep job list"),
        ("protection backup-now --vm web01 --retain-until 24.12.2026", "date '24.12.2026'", "Correct date"),
    ],
    ids=["vm", "vault", "no-vault", "not-protected", "job", "date"],
)
def test_mistakes_are_explained(vmkeep: Vmkeep, arguments: str, what: str, advice: str) -> None:
    shown = vmkeep(*arguments.split(), fails=True).stderr
    assert what in shown
    assert advice in shown


def test_an_unknown_recovery_point_is_explained(vmkeep: Vmkeep) -> None:
    vmkeep("vault", "create", "main")
    vmkeep("protection", "enable-for-vm", "--vm", "web01")
    restore = ("restore", "vm", "--vm", "web01", "--name", "copy", "--recovery-point")
    assert "has no recovery point yet" in vmkeep(*restore, "latest", fails=True).stderr
    vmkeep("protection", "backup-now", "--vm", "web01")
    assert "there is no recovery point '7'" in vmkeep(*restore, "7", fails=True).stderr


def test_with_several_vaults_one_must_be_named(vmkeep: Vmkeep) -> None:
    vmkeep("vault", "create", "main")
    vmkeep("vault", "create", "other")
    refused = vmkeep("protection", "enable-for-vm", "--vm", "web01", fails=True).stderr
    assert "there are several vaults: main, other" in refused
    vmkeep("protection", "enable-for-vm", "--vm", "web01", "--vault", "other", "--policy", "EnhancedPolicy")
    assert (
        "vault 'other'"
        in vmkeep("protection", "enable-for-vm", "--vm", "web01", "--vault", "main", fails=True).stderr
    )
    vmkeep("protection", "backup-now", "--vm", "web01")
    assert "every 4 hours" in vmkeep("policy", "show", "EnhancedPolicy", "--vault", "other").output
    assert re.search(
        r"DefaultPolicy +V1 +daily 02:30 +UTC +2 days +30 days",
        vmkeep("policy", "list", "--vault", "main").output,
    )


def test_json_is_the_apis_own(vmkeep: Vmkeep) -> None:
    made = json.loads(vmkeep("vault", "create", "main", "-o", "json").output)
    assert made["type"] == "Microsoft.RecoveryServices/vaults"
    assert json.loads(vmkeep("vault", "list", "-o", "json").output) == [made]


def test_disk_key_elsewhere_is_named_by_url(vmkeep: Vmkeep, running: Running) -> None:
    [web01, *_] = running.fabric.machines
    disks = tuple(replace(disk, encrypted=True) for disk in web01.disks)
    running.fabric.machines = [replace(web01, disks=disks)]
    url = "https://kv1.vault.azure.net"
    vmkeep("vm", "encryption", "set", "web01", "--secret", f"{url}/secrets/os-key", "--disk", "vda")
    shown = vmkeep("vm", "encryption", "show", "web01", "--output", "json").output
    assert [disk["key"] for disk in json.loads(shown)] == [{"keyVault": url, "secret": "os-key"}, None]
    refused = vmkeep("vm", "encryption", "set", "web01", "--secret", "os-key", fails=True)
    assert "its key vault is not named" in " ".join(refused.output.split())


def test_fabric_is_attached_and_checked(vmkeep: Vmkeep, running: Running) -> None:
    assert "default" in vmkeep("fabric", "network", "list").output
    assert "bridge of 'default'" in vmkeep("fabric", "attach", "default").output
    assert "attached already" in vmkeep("fabric", "attach", "default").output
    assert "All is as it should be" in vmkeep("fabric", "check").output
    running.engine.findings.append(Warned("OrphanLayer", "a layer nobody knows"))
    assert "OrphanLayer" in vmkeep("fabric", "check", fails=True).output
    repaired = vmkeep("fabric", "check", "--repair").output
    assert "OrphanLayer: a layer nobody knows" in repaired
    assert "All is as it should be" in repaired
    assert json.loads(vmkeep("fabric", "check", "--repair", "-o", "json").output) == {
        "value": [],
        "repaired": [],
    }


def test_a_network_is_detached_again(vmkeep: Vmkeep, running: Running) -> None:
    vmkeep("fabric", "attach", "default")
    assert "is detached" in vmkeep("fabric", "detach", "default").output
    assert running.fabric.attached == set()
    assert json.loads(vmkeep("fabric", "detach", "default", "-o", "json").output) == {"network": "default"}


def test_a_refusal_names_its_code_for_people_and_for_programs(vmkeep: Vmkeep) -> None:
    shown = vmkeep("protection", "enable-for-vm", "--vm", "nobody", "--vault", "none", fails=True).stderr
    assert re.match(r"Error: \w+: .+\nWhat to do: ", shown)
    vmkeep("vault", "create", "main")
    command = ("protection", "enable-for-vm", "--vm", "web01", "--policy", "none", "--vault", "main")
    refused = vmkeep(*command, "-o", "json", fails=True)
    error = json.loads(refused.stderr)["error"]
    assert (error["code"], refused.stdout) == ("PolicyNotFound", "")
    assert error["message"]
    assert vmkeep(*command, fails=True).stderr.startswith("Error: PolicyNotFound: ")


def test_repository_is_checked_and_pruned(vmkeep: Vmkeep, running: Running) -> None:
    vmkeep("vault", "create", "main")
    assert re.search(r"readBytes +1\.0 GiB", vmkeep("repository", "check", "--read-data").output)
    assert re.search(r"removedBytes +4\.0 KiB", vmkeep("repository", "prune").output)
    running.repositories.problems.append("pack 12 has a flipped bit")
    assert "flipped bit" in vmkeep("repository", "check", fails=True).output


def test_without_a_service_the_message_says_how_to_start_one(vmkeep: Vmkeep, running: Running) -> None:
    content = json.loads(running.ready.client_file.read_bytes())
    running.ready.client_file.write_text(json.dumps({**content, "url": "https://127.0.0.1:1"}))
    refused = vmkeep("vm", "list", fails=True).stderr
    assert "cannot reach the service at https://127.0.0.1:1" in refused
    assert "vmkeep up" in refused
    running.ready.client_file.write_text("{}")
    assert "is damaged" in vmkeep("vm", "list", fails=True).stderr
    running.ready.client_file.unlink()
    assert "vmkeep up" in vmkeep("vm", "list", fails=True).stderr


def test_least_consistency_is_asked_for_by_option(vmkeep: Vmkeep) -> None:
    vmkeep("vault", "create", "main")
    enabled = vmkeep("protection", "enable-for-vm", "--vm", "web01", "--consistency", "application")
    assert "application" in enabled.output
    update = ("protection", "update-for-vm", "--vm", "web01", "-o", "json")
    item = json.loads(vmkeep(*update, "--consistency", "file-system").output)
    assert item["properties"]["vmkeep"]["leastConsistency"] == "file-system"
    assert "--consistency" in vmkeep("protection", "update-for-vm", "--vm", "web01", fails=True).stderr


def test_a_wrong_secret_is_explained(vmkeep: Vmkeep, running: Running) -> None:
    content = json.loads(running.ready.client_file.read_bytes())
    running.ready.client_file.write_text(json.dumps({**content, "clientSecret": "wrong"}))
    assert "Invalid client secret" in vmkeep("vm", "list", fails=True).stderr


@pytest.mark.parametrize("text", ["2026-02-30", "20261224", "2026-12-24T00:00", "tomorrow", ""])
def test_dates_are_read_strictly(text: str) -> None:
    with pytest.raises(InvalidValue, match="YYYY-MM-DD"):
        end_of_day(text)


def test_a_day_ends_in_local_time() -> None:
    assert local_time(end_of_day("2026-12-24")) == "2026-12-24 23:59:59"
    assert datetime.fromisoformat(end_of_day("2026-12-24")).tzinfo == UTC


@pytest.mark.parametrize(
    ("iso", "text"), [("PT0S", "0.0s"), ("PT15.198776S", "15.2s"), ("PT1H2M3.46S", "1h 2m 3.5s")]
)
def test_durations_are_short(iso: str, text: str) -> None:
    assert duration(iso) == text
