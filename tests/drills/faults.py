"""All drills. Adding one touches this file only."""

import json
from collections.abc import Callable

import libvirt

from tests.drills.drill import Drill, Remedy, Scene
from tests.journeys.conftest import wait_for_agent
from tests.lab.tools import wait_for

NO_AGENT = "UserErrorGuestAgentStatusUnavailable"
NO_STATUS = "GuestAgentSnapshotTaskStatusError"
FAILED = "ExtensionOperationFailedForManagedDisks"
LIMIT = "UserErrorRpCollectionLimitReached"
SILENT_S = 35.0
FABRIC = "168.63.129.16"
PACKAGE = "$(dirname $(python3 -c 'import azurelinuxagent as a; print(a.__file__)'))"
EXTENSION = "/var/lib/waagent/Microsoft.Azure.RecoveryServices.VMSnapshotLinux-9*"
SCRIPTS = "/etc/azure/VMSnapshotScriptPluginConfig.json"


Step = Callable[[Scene], None]


def in_guest(script: str) -> Step:
    """Return the step that runs a shell script in the guest."""

    def run(scene: Scene) -> None:
        scene.sh(script)

    return run


def agent(name: str, cause: str, inject: str, heal: str, *, remedy: Remedy = Remedy.PERSON) -> Drill:
    """Return a drill that silences the agent from within the guest."""
    return Drill(name, cause, (NO_AGENT,), in_guest(inject), in_guest(heal), remedy, SILENT_S)


def put_scripts(pre: str, *, mode: str = "700", post: str = "true", **settings: object) -> Step:
    """Return the step that configures a pre- and a post-script."""
    known = {
        "pluginName": "ScriptRunner",
        "preScriptLocation": "/etc/azure/pre.sh",
        "postScriptLocation": "/etc/azure/post.sh",
        "preScriptParams": [],
        "postScriptParams": [],
        "preScriptNoOfRetries": 0,
        "postScriptNoOfRetries": 0,
        "timeoutInSeconds": 5,
        "continueBackupOnFailure": True,
        "fsFreezeEnabled": True,
    }
    return in_guest(
        "mkdir -p /etc/azure; cd /etc/azure; "
        f"printf '#!/bin/sh\\n{pre}\\n' >pre.sh; printf '#!/bin/sh\\n{post}\\n' >post.sh; "
        f"chmod {mode} pre.sh; chmod 700 post.sh; "
        f"cat >{SCRIPTS} <<'END'\n{json.dumps(known | settings)}\nEND\nchmod 600 {SCRIPTS}"
    )


def set_link(state: str) -> Step:
    """Return the step that plugs the guest's cable in or out."""

    def plug(scene: Scene) -> None:
        xml = scene.guest.domain.XMLDesc()
        interface = xml[xml.index("<interface") : xml.index("</interface>") + len("</interface>")]
        for known in ("up", "down"):
            interface = interface.replace(f"<link state='{known}'/>", "")
        wanted = interface.replace("</interface>", f"<link state='{state}'/></interface>")
        scene.guest.domain.updateDeviceFlags(wanted, libvirt.VIR_DOMAIN_AFFECT_LIVE)

    return plug


def lock_and_fill(scene: Scene) -> None:
    """Fill the collection under a lock, without the agent: a backup then takes two seconds."""
    fill(scene, locked=True)


def fill_only(scene: Scene) -> None:
    """Fill the collection without a lock."""
    fill(scene, locked=False)


def fill(scene: Scene, *, locked: bool) -> None:
    """Make 18 restore points."""
    scene.sh("systemctl stop walinuxagent")
    scene.service.backup_now(scene.guest.name)
    groups = [one["name"] for one in scene.service.ask("group", "list")]
    if locked:
        [group] = [name for name in groups if "AzureBackupRG" in name]
        scene.service.ask("lock", "create", "-n", "keep", "-t", "CanNotDelete", "--resource-group", group)
    for _ in range(17):
        scene.service.backup_now(scene.guest.name)
    scene.sh("systemctl start walinuxagent")
    wait_for_agent(scene.service, scene.guest)


def unlock_and_clean(scene: Scene) -> None:
    """Take the lock away and let a first backup start the clean-up."""
    if scene.service.ask("lock", "list"):
        scene.service.ask("lock", "delete", "--name", "keep")
    scene.service.backup_now(scene.guest.name)
    [collection] = scene.service.ask("restore-point", "collection", "list")
    wait_for(lambda: _points(scene, collection["name"]) < 18, "clean-up has made room", limit_s=300)


def _points(scene: Scene, collection: str) -> int:
    shown = scene.service.ask("restore-point", "collection", "show", collection)
    return len(shown["properties"]["restorePoints"])


def revoke_vault_key(scene: Scene) -> None:
    """Give the vault a key of a key vault, then take the backups' rights on it away."""
    ask = scene.service.ask
    ask("keyvault", "create", "--name", "kv1")
    key = ask("keyvault", "key", "create", "--vault-name", "kv1", "--name", "backup")
    ask("keyvault", "set-policy", "--name", "kv1", "--backup-service")
    url = key["key"]["kid"].rsplit("/", 1)[0]
    ask("vault", "encryption", "update", "main", "--encryption-key-id", url)
    ask("keyvault", "delete-policy", "--name", "kv1", "--backup-service")


def give_vault_key_back(scene: Scene) -> None:
    """Give the backups their rights again."""
    scene.service.ask("keyvault", "set-policy", "--name", "kv1", "--backup-service")


def add_huge_disk(scene: Scene) -> None:
    """Plug in a sparse disk of 5 TB."""
    path = scene.lab.new_folder("huge") / "huge.raw"
    with path.open("wb") as file:
        file.truncate(5 * 1024**4)
    disk = f"<disk type='file'><driver name='qemu' type='raw'/><source file='{path}'/><target dev='vdc' bus='virtio'/></disk>"
    scene.guest.domain.attachDevice(disk)


def leave_huge_disk_out(scene: Scene) -> None:
    """Back up without it."""
    exclude = ("--disk-list-setting", "exclude", "--diskslist", "1")
    scene.service.ask("protection", "update-for-vm", "--vm", scene.guest.name, *exclude)


def damage_extension(scene: Scene) -> None:
    """Empty the manifest of the extension, which a first backup installs."""
    scene.service.backup_now(scene.guest.name)
    scene.sh(f"truncate -s 0 {EXTENSION}/HandlerManifest.json")


def pause(scene: Scene) -> None:
    """Stop the guest's CPUs."""
    scene.guest.pause()


def resume(scene: Scene) -> None:
    """Let the guest's CPUs go on."""
    scene.guest.resume()


def detach(scene: Scene) -> None:
    """Take the network's way to the wire server away."""
    scene.service.ask("fabric", "detach", "vmkeep")


def attach(scene: Scene) -> None:
    """Give it back."""
    scene.service.ask("fabric", "attach", "vmkeep")


START = "systemctl unmask walinuxagent; systemctl enable --now walinuxagent"
RESTART = "systemctl restart walinuxagent"
SNAPSHOT_CALL = "OUTPUT -p tcp -m string --algo bm --string recsvc/snapshot -j REJECT --reject-with tcp-reset"

DRILLS: tuple[Drill, ...] = (
    agent("A2 stopped", "A2", "systemctl stop walinuxagent", START, remedy=Remedy.APPLY),
    agent("A2 disabled", "A2", "systemctl disable --now walinuxagent", START, remedy=Remedy.APPLY),
    agent("A2 masked", "A2", "systemctl mask --now walinuxagent", START, remedy=Remedy.APPLY),
    agent("A3 all stopped", "A3", "systemctl kill -s STOP walinuxagent", RESTART, remedy=Remedy.APPLY),
    agent(
        "A3 worker stopped",
        "A3",
        "pkill -STOP -f 'run-exthandler[s]'",
        RESTART,
        remedy=Remedy.APPLY,
    ),
    agent("A1 purged", "A1", "dpkg --purge --force-depends waagent", "true", remedy=Remedy.NOT_TRIED),
    agent(
        "A4 package damaged",
        "A4",
        f"p={PACKAGE}; mv $p $p.away; systemctl restart walinuxagent || true",
        "for p in /usr/lib/python3*/*-packages/azurelinuxagent.away; do mv $p ${p%.away}; done; " + RESTART,
    ),
    agent(
        "A5 extensions off",
        "A5",
        "sed -i 's/^Extensions.Enabled=.*/Extensions.Enabled=n/' /etc/waagent.conf; "
        "grep -q ^Extensions.Enabled /etc/waagent.conf || echo Extensions.Enabled=n >>/etc/waagent.conf; "
        + RESTART,
        "sed -i s/Extensions.Enabled=n/Extensions.Enabled=y/ /etc/waagent.conf; " + RESTART,
        remedy=Remedy.APPLY,
    ),
    Drill(
        "A6 root full",
        "A6",
        (FAILED, NO_STATUS, NO_AGENT, "ExtensionStuckInDeletionState", "ExtensionInstallationFailure"),
        in_guest("fallocate -l $(($(df -Pk / | awk 'NR==2{print $4}') - 500))k /fill || true; sync"),
        in_guest(f"rm /fill; {RESTART}"),
    ),
    Drill(
        "A7 clock a year ahead",
        "A7",
        (NO_STATUS, FAILED, NO_AGENT, "GuestAgentCertificateNotFound"),
        in_guest("timedatectl set-ntp false || true; date -s '+400 days'"),
        in_guest("date -s '-400 days'"),
    ),
    agent(
        "N1 no address",
        "N1",
        "ip addr flush dev $(ip -o route show default | awk '{print $5}' | head -n1)",
        RESTART,
        remedy=Remedy.APPLY,
    ),
    agent(
        "N3 firewall drops",
        "N3",
        f"iptables -I OUTPUT -d {FABRIC} -j DROP",
        f"iptables -D OUTPUT -d {FABRIC} -j DROP",
    ),
    agent(
        "N3 firewall rejects",
        "N3",
        f"iptables -I OUTPUT -d {FABRIC} -j REJECT",
        f"iptables -D OUTPUT -d {FABRIC} -j REJECT",
    ),
    agent(
        "N3 blackhole route",
        "N3",
        f"ip route replace blackhole {FABRIC}/32",
        f"ip route del blackhole {FABRIC}/32; {RESTART}",
    ),
    Drill("N3 link down", "N3", (NO_AGENT,), set_link("down"), set_link("up"), settles_s=SILENT_S),
    Drill("N3 network detached", "N3", (NO_AGENT,), detach, attach, settles_s=SILENT_S),
    Drill(
        "N4 snapshot call refused",
        "N4",
        ("ExtensionSnapshotFailedNoNetwork",),
        in_guest(f"iptables -I {SNAPSHOT_CALL}"),
        in_guest(f"iptables -D {SNAPSHOT_CALL}"),
    ),
    Drill(
        "X1 manifest emptied",
        "X1",
        (FAILED,),
        damage_extension,
        remedy=Remedy.APPLY,
    ),
    Drill(
        "X3 settings in UTF-16",
        "X3",
        ("VMBackupLinuxExtensionConfFileWrongEncodingFormat",),
        in_guest("mkdir -p /etc/azure; echo '[SnapshotThread]' | iconv -t UTF-16 >/etc/azure/vmbackup.conf"),
        remedy=Remedy.APPLY,
    ),
    Drill(
        "F1 mount frozen by somebody else",
        "F1",
        ("UserErrorFsFreezeFailed",),
        in_guest("fsfreeze -f /data"),
        in_guest("fsfreeze -u /data || true"),
    ),
    Drill(
        "F3 pre-script fails",
        "F3",
        ("Pre-ScriptExecutionFailed",),
        put_scripts("exit 7"),
        in_guest(f"rm {SCRIPTS}"),
    ),
    Drill(
        "F3 pre-script too slow",
        "F3",
        ("Pre-ScriptTimeout",),
        put_scripts("sleep 60"),
        in_guest(f"rm {SCRIPTS}"),
    ),
    Drill(
        "F3 pre-script open to all",
        "F3",
        ("InsufficientPermissionforPre-Script",),
        put_scripts("true", mode="777"),
        in_guest(f"rm {SCRIPTS}"),
    ),
    Drill(
        "F3 pre-script missing",
        "F3",
        ("Pre-ScriptNotFound",),
        put_scripts("true", preScriptLocation="/etc/azure/none.sh"),
        in_guest(f"rm {SCRIPTS}"),
    ),
    Drill(
        "F3 post-script fails",
        "F3",
        ("Post-ScriptExecutionFailed",),
        put_scripts("true", post="exit 7"),
        in_guest(f"rm {SCRIPTS}"),
    ),
    Drill(
        "F3 configuration broken",
        "F3",
        ("IncorrectJSONConfigFile",),
        in_guest(f"mkdir -p /etc/azure; echo '{{' >{SCRIPTS}; chmod 600 {SCRIPTS}"),
        in_guest(f"rm {SCRIPTS}"),
    ),
    Drill("V1 paused", "V1", ("UserErrorVmNotInDesirableState",), pause, resume),
    Drill("D1 disk of 5 TB", "D1", ("UserErrorUnsupportedDiskSize",), add_huge_disk, leave_huge_disk_out),
    Drill(
        "K1 vault's key revoked",
        "K1",
        ("UserErrorCMKMissingMangedIdentityPermissionOnKeyVault",),
        revoke_vault_key,
        give_vault_key_back,
    ),
    Drill("R1 lock and 18 points", "R1", (LIMIT,), lock_and_fill, unlock_and_clean),
    Drill("R2 18 points in an hour", "R2", (LIMIT,), fill_only, unlock_and_clean),
    agent(
        "A2 and N3 at once",
        "N3",
        f"systemctl stop walinuxagent; iptables -I OUTPUT -d {FABRIC} -j DROP",
        f"iptables -D OUTPUT -d {FABRIC} -j DROP; {START}",
    ),
    agent(
        "A2 and A5 at once",
        "A2",
        "systemctl stop walinuxagent; echo Extensions.Enabled=n >>/etc/waagent.conf",
        f"sed -i /^Extensions.Enabled=n/d /etc/waagent.conf; {START}",
    ),
    *(
        Drill(f"healthy {load}", "", (), in_guest(f"setsid sh -c '{script}' >/dev/null 2>&1 &"))
        for load, script in (
            ("at rest", "true"),
            ("busy CPU", 'timeout 120 sh -c "while :; do :; done"'),
            (
                "busy disk",
                'timeout 120 sh -c "while :; do dd if=/dev/zero of=/data/x bs=1M count=50 conv=fsync; done"',
            ),
            ("many small files", 'timeout 120 sh -c "while :; do cp -r /etc /data/e; rm -r /data/e; done"'),
            ("busy memory", "timeout 120 tail -c 200M /dev/zero"),
        )
    ),
)
