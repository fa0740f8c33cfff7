"""Backup in the words of its users: vaults, VMs, protection, jobs, points, restores."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

from vmkeep.client.errors import NotOne
from vmkeep.client.session import Json, Session

_VAULTS = "providers/Microsoft.RecoveryServices/vaults"
_ENCRYPTION = "backupEncryptionConfigs/backupResourceEncryptionConfig"
STOPPED = {"ProtectionStopped", "BackupsSuspended"}
RUNNING = {"InProgress", "Cancelling"}


@dataclass(frozen=True, slots=True)
class Backup:
    """The operations of the command line, each one or two calls of the API."""

    session: Session

    @property
    def _root(self) -> str:
        return f"/subscriptions/{self.session.credentials.subscription}"

    def machines(self) -> list[Json]:
        """Return all VMs."""
        return list(self.session.list(f"{self._root}/providers/Microsoft.Compute/virtualMachines"))

    def machine(self, name: str) -> Json:
        """Return one VM with its instance view."""
        found = one_named(self.machines(), name, "VM", "vmkeep vm list")
        return self.session.get(found["id"], **{"$expand": "instanceView"})

    def set_disk_keys(self, vm: str, *, key_vault: str, secret: str, disks: list[str] | None) -> Json:
        """Say which secret opens a VM's encrypted disks, all or some of them; returns the VM."""
        found = one_named(self.machines(), vm, "VM", "vmkeep vm list")
        body: Json = {"keyVault": key_vault, "secret": secret, "disks": disks}
        return self.session.post(f"{found['id']}/vmkeepSetDiskKeys", body)

    def collect(self, machine: Json) -> bytes:
        """Return what the agent left in a VM's guest as a tar.gz."""
        return self.session.download(f"{machine['id']}/vmkeepCollect")

    def group(self) -> str:
        """Return the id of the resource group that the host's VMs are in: the first."""
        return str(next(self.session.list(f"{self._root}/resourceGroups"))["id"])

    def networks(self) -> list[Json]:
        """Return the host's networks."""
        return list(self.session.list(f"{self.group()}/providers/Vmkeep.Fabric/networks"))

    def attach_network(self, name: str) -> Json:
        """Let the VMs of a network reach the wire server."""
        return self.session.post(f"{self.group()}/providers/Vmkeep.Fabric/networks/{name}/attach")

    def detach_network(self, name: str) -> Json:
        """Take back what attaching a network changed."""
        return self.session.post(f"{self.group()}/providers/Vmkeep.Fabric/networks/{name}/detach")

    def check_fabric(self, *, repair: bool = False) -> Json:
        """Return what the host has and should not have, or the reverse, and what was repaired."""
        path = f"{self.group()}/providers/Vmkeep.Fabric/check"
        return self.session.post(path, {"repair": repair}, long=True)

    def vaults(self) -> list[Json]:
        """Return all vaults."""
        return list(self.session.list(f"{self._root}/{_VAULTS}"))

    def vault(self, name: str | None) -> Json:
        """Return a vault by name; without one, the only vault."""
        vaults = self.vaults()
        if name is not None:
            return one_named(vaults, name, "vault", "vmkeep vault list")
        if len(vaults) != 1:
            have = ", ".join(vault["name"] for vault in vaults)
            why = f"there are several vaults: {have}" if vaults else "there is no vault yet"
            what = "Say which with --vault." if vaults else "Make one: vmkeep vault create main"
            raise NotOne(why=why, what_to_do=what)
        return vaults[0]

    def create_vault(self, name: str, repository: str | None, key: str | None = None) -> Json:
        """Make a vault, or return the one there is; `key` is the id of a key vault's key that shall open it."""
        group = self.session.get(self.group())
        body: Json = {"location": group["location"], "sku": {"name": "RS0"}, "properties": {}}
        if repository:
            body["properties"]["vmkeep"] = {"repositoryUrl": repository}
        if key:
            body["properties"]["encryption"] = {"keyVaultProperties": {"keyUri": key}}
        return self.session.put(f"{group['id']}/{_VAULTS}/{name}", body)

    def encryption(self, vault: Json) -> Json:
        """Return which key opens a vault."""
        return self.session.get(f"{vault['id']}/{_ENCRYPTION}")

    def set_encryption(self, vault: Json, key: str | None) -> Json:
        """Have a key vault's key open a vault, or the service's own for None; returns which it is now."""
        kind = "CustomerManaged" if key else "MicrosoftManaged"
        properties = {"encryptionAtRestType": kind, "keyUri": key}
        return self.session.put(f"{vault['id']}/{_ENCRYPTION}", {"properties": properties})

    def delete(self, resource: Json) -> None:
        """Delete any resource."""
        self.session.delete(resource["id"])

    def policies(self, vault: Json) -> list[Json]:
        """Return a vault's policies."""
        return list(self.session.list(f"{vault['id']}/backupPolicies"))

    def put_policy(self, vault: Json, name: str, properties: Json) -> Json:
        """Make or replace a policy, and return it."""
        return self.session.put(f"{vault['id']}/backupPolicies/{name}", {"properties": properties})

    def items(self, vault: Json) -> list[Json]:
        """Return the protected items of a vault."""
        return list(self.session.list(f"{vault['id']}/backupProtectedItems"))

    def find_item(self, vm: str, vault_name: str | None) -> tuple[Json, Json] | None:
        """Return vault and item of a VM, the one that protects it before those that were stopped; or None."""
        vaults = self.vaults() if vault_name is None else [self.vault(vault_name)]
        found = [
            (vault, item)
            for vault in vaults
            for item in self.items(vault)
            if item["properties"]["friendlyName"] == vm
        ]
        return min(found, key=lambda one: is_stopped(one[1]), default=None)

    def item(self, vm: str, vault_name: str | None) -> tuple[Json, Json]:
        """Return vault and item of a protected VM; raises NotOne."""
        found = self.find_item(vm, vault_name)
        if found is None:
            one_named(self.machines(), vm, "VM", "vmkeep vm list")
            where = "any vault" if vault_name is None else f"vault '{vault_name}'"
            raise NotOne(
                why=f"VM '{vm}' is not protected in {where}",
                what_to_do=f"Protect it: vmkeep protection enable-for-vm --vm {vm}",
            )
        return found

    def protect(self, vault: Json, vm: str, policy: str | None, wishes: Json | None = None) -> Json:
        """Put a VM under a policy, or change what is said; `wishes` are more of an item's properties.

        Returns the operation.
        """
        found = self.find_item(vm, vault["name"])
        if found is None:
            return self._protect_new(vault, vm, policy or "DefaultPolicy", wishes)
        return self.change_item(vault, found[1], policy=policy, wishes=wishes)

    def active_item(self, vm: str, vault_name: str | None) -> tuple[Json, Json]:
        """Return vault and item of a VM whose protection is not stopped; raises NotOne."""
        vault, item = self.item(vm, vault_name)
        if is_stopped(item):
            raise NotOne(
                why=f"the protection of VM '{vm}' is stopped",
                what_to_do=f"Resume it first: vmkeep protection resume --vm {vm}",
            )
        return vault, item

    def change_item(
        self, vault: Json, item: Json, *, policy: str | None = None, wishes: Json | None = None
    ) -> Json:
        """Protect an item's VM (again), under the policy it had unless told; returns the operation."""
        properties = item["properties"]
        name = policy or properties["policyName"]
        return self._put_item(item["id"], vault, name, properties["sourceResourceId"], wishes)

    def outlook(self, vm: str) -> Json:
        """Return all that a backup of a VM would meet if it ran now."""
        machine = one_named(self.machines(), vm, "VM", "vmkeep vm list")
        return self.session.post(f"{machine['id']}/vmkeepBackupOutlook")

    def diagnose(self, vm: str) -> Json:
        """Return what is wrong with a VM's backups, proven or not; changes nothing."""
        return self.session.post(f"{self._machine_id(vm)}/vmkeepDiagnose", long=True)

    def apply_remedy(self, vm: str, *, consent: bool) -> Json:
        """Have the proven cause's remedy carried out; returns the diagnosis it was for.

        Raises ClientError with RemedyNeedsConsent for one that takes something away, unless there is `consent`.
        """
        path = f"{self._machine_id(vm)}/vmkeepApplyRemedy"
        return self.session.post(path, {"consent": consent}, long=True)

    def set_agent_logs(self, vm: str, *, verbose: bool) -> None:
        """Have the guest's agent say more in its log, or as much as it usually does."""
        self.session.post(f"{self._machine_id(vm)}/vmkeepAgentLogs", {"verbose": verbose}, long=True)

    def diagnose_until(self, vm: str, gone: str, *, limit_s: float) -> Json:
        """Look again and again until the cause `gone` is refuted, or `limit_s` is over; return the last diagnosis.

        A cause that only the last backup's record proves is not looked at again: only another backup can refute it. An
        agent that starts is waited for.
        """
        end = self.session.clock.monotonic() + limit_s
        while True:
            found = self.diagnose(vm)
            cause = found["cause"]
            is_gone = cause["recorded"] if cause else gone in found["refuted"]
            if (is_gone and not found["agentStarts"]) or self.session.clock.monotonic() > end:
                return found
            self.session.clock.sleep(2)

    def _machine_id(self, vm: str) -> str:
        return str(one_named(self.machines(), vm, "VM", "vmkeep vm list")["id"])

    def _protect_new(self, vault: Json, vm: str, policy: str, wishes: Json | None) -> Json:
        machine = one_named(self.machines(), vm, "VM", "vmkeep vm list")
        for free in self.session.list(f"{vault['id']}/backupProtectableItems"):
            if free["properties"]["virtualMachineId"] == machine["id"]:
                container, _, name = free["id"].partition("/protectableItems/")
                return self._put_item(
                    f"{container}/protectedItems/{name}", vault, policy, machine["id"], wishes
                )
        elsewhere = self.find_item(vm, None)
        where = f" in vault '{elsewhere[0]['name']}'" if elsewhere else ""
        raise NotOne(
            why=f"VM '{vm}' is already protected{where}",
            what_to_do=f"Stop that protection first: vmkeep protection disable --vm {vm}",
        )

    def _put_item(self, item_id: str, vault: Json, policy: str, machine_id: str, wishes: Json | None) -> Json:
        properties: Json = {
            "protectedItemType": "Microsoft.Compute/virtualMachines",
            "policyId": f"{vault['id']}/backupPolicies/{policy}",
            "sourceResourceId": machine_id,
            **(wishes or {}),
        }
        return self.session.put(item_id, {"properties": properties})

    def stop_protection(self, item: Json, *, as_per_policy: bool = False) -> Json:
        """Stop protection and keep the backup data, for ever or as long as the policy says."""
        properties = {
            "protectedItemType": "Microsoft.Compute/virtualMachines",
            "policyId": "",
            "protectionState": "BackupsSuspended" if as_per_policy else "ProtectionStopped",
            "sourceResourceId": item["properties"]["sourceResourceId"],
        }
        return self.session.put(item["id"], {"properties": properties})

    def backup_now(self, item: Json, retain_until: str | None) -> str:
        """Start a backup; returns the job's id."""
        properties: Json = {"objectType": "IaasVMBackupRequest"}
        if retain_until:
            properties["recoveryPointExpiryTimeInUTC"] = retain_until
        return _job_of(self.session.post(f"{item['id']}/backup", {"properties": properties}))

    def points(self, item: Json) -> list[Json]:
        """Return an item's recovery points, newest first."""
        return list(self.session.list(f"{item['id']}/recoveryPoints"))

    def point(self, item: Json, name: str) -> Json:
        """Return a recovery point by id, or the newest one for `latest`; raises NotOne."""
        points = self.points(item)
        vm = item["properties"]["friendlyName"]
        if not points:
            raise NotOne(
                why=f"VM '{vm}' has no recovery point yet",
                what_to_do=f"Back it up: vmkeep protection backup-now --vm {vm}",
            )
        if name == "latest":
            return points[0]
        listing = f"vmkeep recoverypoint list --vm {vm}"
        return one_named(points, name, "recovery point", listing)

    def restore_vm(
        self, point: Json, item: Json, name: str, *, network: str | None = None, tier: str | None = None
    ) -> str:
        """Start making a new VM; returns the job's id."""
        source = item["properties"]["sourceResourceId"]
        target = f"{source.rpartition('/')[0]}/{name}"
        properties: Json = {
            "recoveryType": "AlternateLocation",
            "sourceResourceId": source,
            "targetVirtualMachineId": target,
        }
        if network:
            properties["virtualNetworkId"] = network
        if tier:
            properties["vmkeep"] = {"tier": tier}
        return self._restore(point, properties)

    def restore_disks(
        self, point: Json, item: Json, folder: str, form: str, *, disks: list[str], tier: str | None = None
    ) -> str:
        """Start writing disks to a folder of the host; returns the job's id."""
        ours: Json = {"targetFolder": folder, "diskFormat": form}
        if disks:
            ours["diskNames"] = disks
        if tier:
            ours["tier"] = tier
        source = item["properties"]["sourceResourceId"]
        return self._restore(
            point, {"recoveryType": "RestoreDisks", "sourceResourceId": source, "vmkeep": ours}
        )

    def _restore(self, point: Json, properties: Json) -> str:
        common = {"objectType": "IaasVMRestoreRequest", "recoveryPointId": point["name"]}
        return _job_of(self.session.post(f"{point['id']}/restore", {"properties": common | properties}))

    def jobs(self, vault_name: str | None, conditions: dict[str, str]) -> list[Json]:
        """Return jobs of a vault, or of all, newest first; conditions are `$filter` keys and values."""
        vaults = self.vaults() if vault_name is None else [self.vault(vault_name)]
        query = {"$filter": " and ".join(f"{key} eq '{value}'" for key, value in conditions.items())}
        found = [job for vault in vaults for job in self.session.list(f"{vault['id']}/backupJobs", **query)]
        return sorted(found, key=lambda job: str(job["properties"]["startTime"]), reverse=True)

    def find_job(self, prefix: str) -> Json:
        """Return the details of the only job whose id starts so; raises NotOne."""
        fitting = [job for job in self.jobs(None, {}) if job["name"].startswith(prefix.lower())]
        if len(fitting) != 1:
            why = (
                f"{len(fitting)} jobs have an id that starts with '{prefix}'"
                if fitting
                else f"no job '{prefix}'"
            )
            raise NotOne(why=why, what_to_do="See the ids: vmkeep job list")
        return self.session.get(fitting[0]["id"])

    def job(self, vault: Json, job_id: str) -> Json:
        """Return a job's details."""
        return self.session.get(f"{vault['id']}/backupJobs/{job_id}")

    def diagnoses(self, job: Json) -> list[Json]:
        """Return what the service found out about a job, the newest first."""
        return [one["properties"] for one in self.session.list(f"{job['id']}/diagnoses")]

    def watch(self, job: Json, every_s: float = 0.5) -> Iterator[Json]:
        """Yield the job's details until it is over, the last time when it is."""
        while job["properties"]["status"] in RUNNING:
            yield job
            self.session.clock.sleep(every_s)
            job = self.session.get(job["id"])
        yield job

    def stop_job(self, job: Json) -> None:
        """Ask a job to stop."""
        self.session.post(f"{job['id']}/cancel")

    def check_repository(self, vault: Json, *, read_data: bool) -> Json:
        """Compare a vault's repository with what it claims; may take hours."""
        return self.session.post(f"{vault['id']}/vmkeepRepositoryCheck", {"readData": read_data}, long=True)

    def prune_repository(self, vault: Json) -> Json:
        """Remove what no recovery point needs; may take hours."""
        return self.session.post(f"{vault['id']}/vmkeepRepositoryPrune", long=True)


def is_stopped(item: Json) -> bool:
    """Return whether no more backups of an item are made."""
    return item["properties"]["protectionState"] in STOPPED


def one_named(resources: list[Json], name: str, kind: str, listing: str) -> Json:
    """Return the resource of that name, case ignored unless ambiguous; raises NotOne with close names."""
    exact = [one for one in resources if one["name"] == name]
    alike = [one for one in resources if one["name"].lower() == name.lower()]
    if exact or len(alike) == 1:
        return (exact or alike)[0]
    close = difflib.get_close_matches(name, [one["name"] for one in resources], n=3)
    hint = f" (did you mean {' or '.join(close)}?)" if close else ""
    raise NotOne(why=f"there is no {kind} '{name}'{hint}", what_to_do=f"See what there is: {listing}")


def _job_of(operation: Json) -> str:
    return str(operation["properties"]["jobId"])
