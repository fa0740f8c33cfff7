"""Small pure pieces: paths, filters, names, times, bodies."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vmkeep.arm.errors import BadFilter, BadRequestBody, BadResourceId, BadResourceName
from vmkeep.arm.filters import Filter
from vmkeep.arm.members import Body
from vmkeep.arm.names import MachineName, ResourceIds, read_item_name, read_machine_id
from vmkeep.arm.paths import canonical_path, literals_of
from vmkeep.arm.recoveryservices.default_policies import default_policies
from vmkeep.arm.recoveryservices.policy_body import read_policy
from vmkeep.arm.wire_time import show_duration

LITERALS = literals_of(
    [
        "/subscriptions/{s}/resourceGroups/{g}/providers/Microsoft.RecoveryServices/vaults/{v}",
        "/subscriptions/{s}/resourceGroups/{g}/providers/Microsoft.Compute/virtualMachines/{m}/instanceView",
    ]
)


@pytest.mark.parametrize(
    ("path", "spelled"),
    [
        (
            "/Subscriptions/S/resourcegroups/G/PROVIDERS/microsoft.recoveryservices/Vaults/Vaults",
            "/subscriptions/S/resourceGroups/G/providers/Microsoft.RecoveryServices/vaults/Vaults",
        ),
        (
            "/subscriptions/s//resourceGroups/g/providers/Microsoft.Compute//virtualmachines/PROVIDERS/instanceview/",
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/virtualMachines/PROVIDERS/instanceView",
        ),
    ],
    ids=["names-keep-their-case", "slashes-collapse"],
)
def test_paths_get_one_spelling(path: str, spelled: str) -> None:
    assert canonical_path(path, LITERALS) == spelled


@given(st.lists(st.sampled_from(["a", "Vaults", "providers", "", "x y", "é"])))
def test_spelling_twice_changes_nothing(segments: list[str]) -> None:
    once = canonical_path("/".join(segments), LITERALS)
    assert canonical_path(once, LITERALS) == once


def test_filters_read_what_az_sends() -> None:
    read = Filter(
        "backupManagementType eq 'AzureIaasVM' and startTime eq '2026-11-01 12:00:00 AM' and x eq 'True'"
    )
    assert read.accepts("BackupManagementType", "azureiaasvm")
    assert read.find_time("starttime") == datetime(2026, 11, 1, tzinfo=UTC)
    assert Filter("startDate eq '2026-11-01T01:00:00+01:00'").find_time("startDate") == read.find_time(
        "startTime"
    )
    assert Filter("name eq 'it''s'").find("name") == "it's"
    assert Filter("").accepts("anything", "at all")


@pytest.mark.parametrize("text", ["nonsense", "a eq 'b' or c eq 'd'", "a eq 'b", "a eq 'b' and", "a ne 'b'"])
def test_filters_that_make_no_sense_are_refused(text: str) -> None:
    with pytest.raises(BadFilter):
        Filter(text)


def test_a_time_that_is_none_is_refused() -> None:
    with pytest.raises(BadFilter, match="is not a time"):
        Filter("startTime eq 'soon'").find_time("startTime")


@pytest.mark.parametrize(
    "name",
    [
        "IaasVMContainer;iaasvmcontainerv2;local;web01",
        "VM;iaasvmcontainerv2;local;web01",
        "vm;IAASVMCONTAINERV2;local;web01",
        "iaasvmcontainerv2;local;web01",
    ],
)
def test_item_names_are_read_in_every_form(name: str) -> None:
    assert read_item_name(name) == MachineName("local", "web01")


@pytest.mark.parametrize("name", ["web01", "VM;other;local;web01", "VM;iaasvmcontainerv2;local;", ""])
def test_other_item_names_are_refused(name: str) -> None:
    with pytest.raises(BadResourceName):
        read_item_name(name)


def test_machine_ids_read_back() -> None:
    machine = MachineName("local", "web01")
    assert read_machine_id(ResourceIds("s").machine(machine)) == machine
    with pytest.raises(BadResourceId):
        read_machine_id("/subscriptions/s/resourceGroups/local/providers/Microsoft.Compute/disks/web01")
    with pytest.raises(BadResourceId):
        read_machine_id("web01")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "PT0S"), (9.87, "PT9.87S"), (60, "PT1M0S"), (3603.5, "PT1H0M3.5S"), (10, "PT10S")],
)
def test_durations_are_iso(seconds: float, text: str) -> None:
    assert show_duration(timedelta(seconds=seconds)) == text


def test_bodies_ignore_case_nulls_and_strangers() -> None:
    class Wanted(Body):
        policy_id: str = ""
        count: int = 1

    read = Wanted.model_validate({"POLICYID": "p", "Count": None, "resourceGroup": "g"})
    assert (read.policy_id, read.count) == ("p", 1)


def test_policies_come_back_tidy() -> None:
    sent = default_policies(datetime(2026, 1, 1, tzinfo=UTC))["DefaultPolicy"]
    as_az_sends = {
        **sent,
        "instantRpDetails": {"azureBackupRgNamePrefix": "x"},
        "instantRpRetentionRangeInDays": "3",
        "protectedItemsCount": 4,
        "resourceGuardOperationRequests": None,
    }
    del as_az_sends["instantRPDetails"]
    tidy = read_policy(as_az_sends)
    assert tidy["instantRPDetails"] == {"azureBackupRGNamePrefix": "x"}
    assert tidy["instantRpRetentionRangeInDays"] == 3
    assert not {"protectedItemsCount", "resourceGuardOperationRequests"} & set(tidy)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"instantRpRetentionRangeInDays": 6}, "1 to 5"),
        ({"instantRpRetentionRangeInDays": "many"}, "whole number"),
        ({"backupManagementType": "AzureSql"}, "AzureIaasVM"),
        ({"retentionPolicy": None}, "retentionPolicy is missing"),
        ({"policyType": "V9"}, "V1 or V2"),
    ],
    ids=["too-many-days", "not-a-number", "other-workload", "no-retention", "unknown-kind"],
)
def test_policies_that_make_no_sense_are_refused(change: dict[str, object], why: str) -> None:
    sent = default_policies(datetime(2026, 1, 1, tzinfo=UTC))["DefaultPolicy"]
    with pytest.raises(BadRequestBody, match=why):
        read_policy({**sent, **change})
