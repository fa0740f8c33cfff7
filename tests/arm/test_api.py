"""The routes, in process."""

import pytest
from structlog.testing import capture_logs

from tests.arm.conftest import GROUP, ITEM, ROOT, VAULT, VM, Api
from tests.arm.fakes import machine
from vmkeep.arm import paging
from vmkeep.model.job import JobError, JobStatus
from vmkeep.model.machine import AgentState, MachineState
from vmkeep.model.restore_point import Warned


def test_a_new_vault_has_both_default_policies(api: Api) -> None:
    made = api.call("PUT", VAULT, {"location": "LOCAL", "tags": {"team": "web"}})
    assert made.status_code == 201
    assert made.json()["properties"]["provisioningState"] == "Succeeded"
    names = [policy["name"] for policy in api.get(f"{VAULT}/backupPolicies")["value"]]
    assert names == ["DefaultPolicy", "EnhancedPolicy"]
    assert api.call("PUT", VAULT, {"location": "local"}).status_code == 200


def test_a_vault_goes_where_it_is_told(api: Api) -> None:
    wanted = {"location": "local", "properties": {"vmkeep": {"repositoryUrl": "s3://bucket/x"}}}
    made = api.call("PUT", VAULT, wanted).json()
    assert made["properties"]["vmkeep"]["repositoryUrl"] == "s3://bucket/x"


def test_a_vault_is_found_by_any_spelling_and_patched(api: Api) -> None:
    api.call("PUT", VAULT, {"location": "local", "tags": {"a": "1"}})
    patched = api.call(
        "PATCH",
        VAULT.upper().replace(VAULT.split("/")[2].upper(), VAULT.split("/")[2]),
        {"properties": {"publicNetworkAccess": "Disabled"}},
    ).json()
    assert patched["name"] == "main"
    assert patched["tags"] == {"a": "1"}
    assert patched["properties"]["publicNetworkAccess"] == "Disabled"


def test_a_vault_elsewhere_is_refused(api: Api) -> None:
    status, error = api.error("PUT", VAULT, {"location": "westeurope"})
    assert (status, error["code"]) == (400, "LocationNotAvailableForResourceType")


def test_unknown_things_are_404_with_advice(api: Api) -> None:
    assert api.error("GET", VAULT)[1]["code"] == "ResourceNotFound"
    api.call("PUT", VAULT, {"location": "local"})
    for path in (ITEM, f"{VAULT}/backupJobs/none", f"{VAULT}/backupPolicies/none", f"{VM}x"):
        status, error = api.error("GET", path)
        assert status == 404
        assert error["recommendations"]
    status, error = api.error("GET", f"{VAULT}/noSuchThing/x")
    assert (status, error["code"]) == (404, "InvalidResourceType")


def test_protecting_shows_a_completed_job_and_takes_the_vm_off_the_list(api: Api) -> None:
    api.protect()
    (job,) = api.get(f"{VAULT}/backupJobs")["value"]
    assert job["properties"]["operation"] == "ConfigureBackup"
    assert job["properties"]["status"] == "Completed"
    free = api.get(f"{VAULT}/backupProtectableItems")["value"]
    assert [vm["properties"]["friendlyName"] for vm in free] == ["db01"]
    (container,) = api.get(f"{VAULT}/backupProtectionContainers")["value"]
    assert container["name"] == "IaasVMContainer;iaasvmcontainerv2;local;web01"
    item = api.get(ITEM.replace(";", "%3B").replace("VM%3B", "vm%3B"))
    assert {"lastRecoveryPoint", "lastBackupStatus"} <= set(item["properties"])


def test_a_vm_is_protected_by_one_vault_only(api: Api) -> None:
    api.protect()
    other = VAULT.replace("/main", "/other")
    api.call("PUT", other, {"location": "local"})
    wanted = {"properties": {"sourceResourceId": VM, "policyId": f"{other}/backupPolicies/DefaultPolicy"}}
    status, error = api.error("PUT", ITEM.replace("/main/", "/other/"), wanted)
    assert status == 409
    assert "vault 'main'" in error["message"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"policyId": ""}, "policyId is missing"),
        ({"policyId": "x/backupPolicies/none"}, "no backup policy 'none'"),
        ({"policyId": "p", "sourceResourceId": VM.replace("web01", "db01")}, "names VM 'db01'"),
    ],
    ids=["no-policy", "unknown-policy", "two-vms"],
)
def test_protecting_with_a_wrong_body_says_what_is_wrong(api: Api, body: dict[str, str], why: str) -> None:
    api.call("PUT", VAULT, {"location": "local"})
    _, error = api.error("PUT", ITEM, {"properties": {"sourceResourceId": VM, **body}})
    assert why in error["message"]


def test_an_unknown_vm_cannot_be_protected(api: Api) -> None:
    api.call("PUT", VAULT, {"location": "local"})
    wanted = {"properties": {"policyId": f"{VAULT}/backupPolicies/DefaultPolicy"}}
    status, error = api.error("PUT", ITEM.replace("web01", "nope"), wanted)
    assert (status, error["code"]) == (404, "VmNotFound")


def test_backup_answers_202_and_every_poll_has_retry_after(api: Api) -> None:
    api.protect()
    api.engine.hold = True
    started = api.call("POST", f"{ITEM}/backup", {"properties": {"objectType": "IaasVMBackupRequest"}})
    assert started.status_code == 202
    polled = api.call("GET", started.headers["Azure-AsyncOperation"])
    assert polled.headers["Retry-After"] == "1"
    assert polled.json()["status"] == "Succeeded"
    job_id = polled.json()["properties"]["jobId"]
    same = api.get(f"{VAULT}/backupOperations/{job_id}")
    assert same["properties"]["jobId"] == job_id
    job = api.get(f"{VAULT}/backupJobs/{job_id}")["properties"]
    assert job["status"] == "InProgress"
    assert job["actionsInfo"] == ["Cancellable"]
    assert job["extendedInfo"]["progressPercentage"] == 50


def test_what_the_doctor_found_out_stands_below_its_job(api: Api) -> None:
    api.protect()
    [item] = api.service.catalog.list_items()
    job = api.engine.start_backup(item, reason="test", retain_until=None)
    at = api.clock.now()
    found = api.engine.diagnose(item.vm_uuid).to_json()
    api.service.catalog.put_diagnosis(job.id, at, found)
    diagnoses = f"{VAULT}/backupJobs/{job.id}/diagnoses"
    [shown] = api.get(diagnoses)["value"]
    assert shown["name"] == f"{at:%Y%m%dT%H%M%SZ}"
    assert shown["properties"] == found
    assert api.get(f"{diagnoses}/{shown['name']}") == shown
    assert api.error("GET", f"{diagnoses}/none")[1]["code"] == "ResourceNotFound"


def test_a_running_backup_refuses_another_and_can_be_cancelled(api: Api) -> None:
    api.protect()
    api.engine.hold = True
    api.call("POST", f"{ITEM}/backup", {})
    status, error = api.error("POST", f"{ITEM}/backup", {})
    assert (status, error["code"]) == (409, "UserErrorBackupOperationInProgress")
    (job,) = api.get(f"{VAULT}/backupJobs", **{"$filter": "status eq 'InProgress'"})["value"]
    assert api.call("POST", f"{job['id']}/cancel").status_code == 202
    assert api.get(job["id"])["properties"]["status"] == JobStatus.CANCELLED
    assert api.call("GET", f"{job['id']}/operationResults/{job['name']}").status_code == 204


def test_a_failed_job_says_why_and_what_to_do(api: Api) -> None:
    api.protect()
    api.engine.failure = JobError("UserErrorGuestAgentStatusUnavailable", "no agent", "Start the agent.")
    api.call("POST", f"{ITEM}/backup", {})
    (job,) = api.get(f"{VAULT}/backupJobs", **{"$filter": "status eq 'failed'"})["value"]
    (problem,) = job["properties"]["errorDetails"]
    assert problem["errorTitle"] == "UserErrorGuestAgentStatusUnavailable"
    assert problem["recommendations"] == ["Start the agent."]


@pytest.mark.parametrize(
    ("until", "why"),
    [
        ("2025-01-01T00:00:00Z", "in the past"),
        ("2027-01-01T00:00:00", "time zone"),
        ("soon", "recoveryPoint"),
    ],
)
def test_a_wrong_expiry_is_refused(api: Api, until: str, why: str) -> None:
    api.protect()
    status, error = api.error(
        "POST", f"{ITEM}/backup", {"properties": {"recoveryPointExpiryTimeInUTC": until}}
    )
    assert status == 400
    assert why in error["message"]


def test_stopped_protection_refuses_backups_and_keeps_the_policy_name(api: Api) -> None:
    api.protect()
    stop = {"properties": {"protectionState": "protectionstopped", "policyId": "", "sourceResourceId": VM}}
    assert api.call("PUT", ITEM, stop).status_code == 202
    shown = api.get(ITEM)["properties"]
    assert (shown["protectionState"], shown["policyName"]) == ("ProtectionStopped", "DefaultPolicy")
    assert api.error("POST", f"{ITEM}/backup", {})[0] == 409


def test_points_retained_in_an_old_vault_do_not_hide_the_one_that_protects_now(api: Api) -> None:
    api.protect()
    stop = {"properties": {"protectionState": "ProtectionStopped", "sourceResourceId": VM}}
    api.call("PUT", ITEM, stop)
    status = f"{ROOT}/providers/Microsoft.RecoveryServices/locations/local/backupStatus"
    question = {"resourceType": "VM", "resourceId": VM}
    assert api.call("POST", status, question).json()["vaultId"].endswith("/main")
    new = VAULT.replace("/main", "/new")
    api.call("PUT", new, {"location": "local"})
    free = [one["properties"]["friendlyName"] for one in api.get(f"{new}/backupProtectableItems")["value"]]
    assert free == ["web01", "db01"]
    wanted = {"sourceResourceId": VM, "policyId": f"{new}/backupPolicies/DefaultPolicy"}
    assert api.call("PUT", ITEM.replace("/main", "/new"), {"properties": wanted}).status_code == 202
    assert api.call("POST", status, question).json()["vaultId"].endswith("/new")
    resume = {"sourceResourceId": VM, "policyId": f"{VAULT}/backupPolicies/DefaultPolicy"}
    refused, error = api.error("PUT", ITEM, {"properties": resume})
    assert (refused, "vault 'new'" in error["message"]) == (409, True)


@pytest.mark.parametrize(
    ("listed", "why"),
    [
        ({"diskLunList": ["7"], "isInclusionList": False}, "no data disk with LUN 7; it has 0 (vdb)"),
        ({"diskLunList": [-1], "isInclusionList": False}, "always backed up"),
    ],
)
def test_disks_that_cannot_be_selected_are_refused(api: Api, listed: dict[str, object], why: str) -> None:
    api.protect()
    extended = {"diskExclusionProperties": listed}
    wanted = {"sourceResourceId": VM, "extendedProperties": extended}
    status, error = api.error("PUT", ITEM, {"properties": wanted})
    assert (status, why in error["message"]) == (400, True)
    assert api.get(ITEM)["properties"]["extendedProperties"] == {}


def test_selected_disks_stay_until_they_are_said_anew(api: Api) -> None:
    api.protect()
    listed = {"diskLunList": ["0"], "isInclusionList": False}
    wanted = {"sourceResourceId": VM, "policyId": f"{VAULT}/backupPolicies/EnhancedPolicy"}
    with_disks = {**wanted, "extendedProperties": {"diskExclusionProperties": listed}}
    api.call("PUT", ITEM, {"properties": with_disks})
    api.call("PUT", ITEM, {"properties": wanted})
    kept = api.get(ITEM)["properties"]["extendedProperties"]
    assert kept == {"diskExclusionProperties": {"diskLunList": [0], "isInclusionList": False}}
    api.call("PUT", ITEM, {"properties": {**wanted, "extendedProperties": {}}})
    assert api.get(ITEM)["properties"]["extendedProperties"] == {}


def test_least_consistency_stays_until_another_is_asked_for(api: Api) -> None:
    api.protect()
    assert api.get(ITEM)["properties"]["vmkeep"]["leastConsistency"] == "crash"
    for asked, least in (({"leastConsistency": "File-System"}, "file-system"), ({}, "file-system")):
        api.call("PUT", ITEM, {"properties": {"sourceResourceId": VM, "vmkeep": asked}})
        assert api.get(ITEM)["properties"]["vmkeep"]["leastConsistency"] == least
    refused, _ = api.error("PUT", ITEM, {"properties": {"vmkeep": {"leastConsistency": "perfect"}}})
    assert refused == 400


def restore(api: Api, **properties: object) -> tuple[int, dict[str, object]]:
    api.protect()
    api.call("POST", f"{ITEM}/backup", {})
    (point,) = api.get(f"{ITEM}/recoveryPoints")["value"]
    answer = api.call("POST", f"{point['id']}/restore", {"properties": properties})
    return answer.status_code, answer.json() if answer.content else {}


def test_restore_by_lun_takes_the_os_disk_along_and_no_disk_that_is_not_there(api: Api) -> None:
    ours = {"targetFolder": "/srv/out"}
    assert restore(api, recoveryType="RestoreDisks", restoreDiskLunList=["0"], vmkeep=ours)[0] == 202
    assert api.engine.restores[0]["disks"] == ("vda", "vdb")
    (point,) = api.get(f"{ITEM}/recoveryPoints")["value"]
    wanted = {"recoveryType": "RestoreDisks", "restoreDiskLunList": [3], "vmkeep": ours}
    status, error = api.error("POST", f"{point['id']}/restore", {"properties": wanted})
    assert (status, "no disk with LUN 3, only -1, 0" in error["message"]) == (400, True)


def test_restore_to_disks_takes_our_additions(api: Api) -> None:
    ours = {"targetFolder": "/srv/out", "diskFormat": "RAW", "diskNames": ["vda"]}
    assert restore(api, recoveryType="restoredisks", vmkeep=ours)[0] == 202
    (asked,) = api.engine.restores
    assert (str(asked["folder"]), asked["format"], asked["disks"]) == ("/srv/out", "raw", ("vda",))


@pytest.mark.parametrize(
    ("properties", "why"),
    [
        ({"recoveryType": "RestoreDisks"}, "absolute path"),
        ({"recoveryType": "AlternateLocation"}, "targetVirtualMachineId"),
        ({"recoveryType": "OriginalLocation"}, "not supported"),
        ({"recoveryType": "Sideways"}, "recoveryType"),
        ({}, "recoveryType"),
    ],
    ids=["no-folder", "no-name", "over-the-original", "unknown", "empty"],
)
def test_a_wrong_restore_is_refused(api: Api, properties: dict[str, object], why: str) -> None:
    status, answer = restore(api, **properties)
    assert status == 400
    assert why in str(answer["error"])


def test_an_unknown_recovery_point_is_404(api: Api) -> None:
    api.protect()
    status, error = api.error(
        "POST", f"{ITEM}/recoveryPoints/42/restore", {"properties": {"recoveryType": "x"}}
    )
    assert status in {400, 404}
    assert api.error("GET", f"{ITEM}/recoveryPoints/42")[1]["code"] == "RecoveryPointNotFound"
    assert error["message"]


def test_machines_show_power_agent_and_expected_consistency(api: Api) -> None:
    api.fabric.machines = [machine("web01"), machine("off", state=MachineState.OFF, agent=AgentState.UNSEEN)]
    shown = api.get(VM, **{"$expand": "instanceView"})["properties"]
    assert shown["instanceView"]["statuses"][1]["code"] == "PowerState/running"
    assert shown["instanceView"]["vmAgent"]["statuses"][0]["displayStatus"] == "Ready"
    assert shown["vmkeep"]["expectedConsistency"] == "file-system"
    off = api.get(f"{VM.replace('web01', 'OFF')}/instanceView")
    assert off["vmkeep"]["expectedConsistency"] == "crash"
    assert off["vmAgent"]["statuses"][0]["displayStatus"] == "Not Ready"


def test_refreshing_asks_the_host_and_is_over_at_once(api: Api) -> None:
    api.call("PUT", VAULT, {"location": "local"})
    refreshed = api.call("POST", f"{VAULT}/backupFabrics/Azure/refreshContainers")
    assert refreshed.status_code == 202
    assert api.call("GET", refreshed.headers["Location"]).status_code == 204
    api.fabric.reachable = False
    status, error = api.error("POST", f"{VAULT}/backupFabrics/Azure/refreshContainers")
    assert (status, error["code"]) == (503, "HypervisorUnreachable")


def test_resource_groups_are_the_vms_own_and_the_vaults(api: Api) -> None:
    api.call("PUT", VAULT.replace("/local/", "/backups/"), {"location": "local"})
    names = [group["name"] for group in api.get(f"{ROOT}/resourcegroups")["value"]]
    assert names == ["local", "backups"]
    assert api.call("HEAD", GROUP).status_code == 204
    assert api.call("HEAD", f"{GROUP}x").status_code == 404


def test_lists_come_in_pages(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paging, "PAGE_SIZE", 2)
    api.fabric.machines = [machine(f"vm{number}") for number in range(5)]
    names, link = [], f"{ROOT}/providers/Microsoft.Compute/virtualMachines"
    while link:
        answer = api.http.get(link).json()
        names += [vm["name"] for vm in answer["value"]]
        link = answer.get("nextLink")
    assert names == [f"vm{number}" for number in range(5)]


def test_networks_attach_once(api: Api) -> None:
    networks = f"{GROUP}/providers/Vmkeep.Fabric/networks"
    first = api.call("POST", f"{networks}/default/attach").json()
    again = api.call("POST", f"{networks}/default/attach").json()
    assert (len(first["changes"]), again["changes"]) == (1, [])
    assert api.get(networks)["value"][0]["properties"]["attached"] is True
    for _ in range(2):
        assert api.call("POST", f"{networks}/default/detach").json() == {"network": "default"}
    assert api.get(networks)["value"][0]["properties"]["attached"] is False


def test_a_check_repairs_only_when_asked(api: Api) -> None:
    api.engine.findings = [Warned("StrayRestorePoint", "nobody has it")]
    finding = {"code": "StrayRestorePoint", "message": "nobody has it"}
    path = f"{GROUP}/providers/Vmkeep.Fabric/check"
    assert api.call("POST", path).json() == {"value": [finding], "repaired": []}
    assert api.call("POST", path, {"repair": True}).json() == {"value": [], "repaired": [finding]}


def test_an_unexpected_error_shows_its_id_and_nothing_of_the_inside(api: Api) -> None:
    api.fabric.broken = True
    with capture_logs() as logged:
        answer = api.call("GET", f"{ROOT}/providers/Microsoft.Compute/virtualMachines")
    assert [line["event"] for line in logged if line["log_level"] == "error"] == ["arm.request.crashed"]
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.headers["x-ms-request-id"] in answer.json()["error"]["message"]


def test_a_body_that_is_too_large_or_not_json_is_refused(api: Api) -> None:
    huge = api.http.put(
        VAULT,
        content=b'{"tags": {"a": "' + b"x" * 2**21 + b'"}}',
        headers={"Content-Type": "application/json"},
    )
    assert huge.status_code == 413
    bad = api.http.put(VAULT, content=b"{", headers={"Content-Type": "application/json"})
    assert (bad.status_code, bad.json()["error"]["code"]) == (400, "BMSUserErrorInvalidInput")


def test_a_repository_is_checked_and_pruned(api: Api) -> None:
    api.call("PUT", VAULT, {"location": "local"})
    assert api.call("POST", f"{VAULT}/vmkeepRepositoryCheck", {"readData": True}).json()["problems"] == []
    assert api.call("POST", f"{VAULT}/vmkeepRepositoryPrune").json()["figures"]["removedObjects"] == 1


@pytest.mark.parametrize(
    "path",
    [
        "backupconfig/vaultconfig",
        "backupstorageconfig/vaultstorageconfig",
        "backupEncryptionConfigs/backupResourceEncryptionConfig",
        "backupResourceGuardProxies",
        "backupUsageSummaries",
        "backupDeletedProtectionContainers",
    ],
)
def test_what_az_reads_before_it_acts_is_there(api: Api, path: str) -> None:
    api.call("PUT", VAULT, {"location": "local"})
    assert api.get(f"{VAULT}/{path}")
