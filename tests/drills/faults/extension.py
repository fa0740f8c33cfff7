"""Faults in the snapshot extension, in the freeze and in its scripts."""

import json

from tests.drills.drill import Drill, Remedy, Scene
from tests.drills.faults.steps import (
    EXTENSION,
    FAILED,
    NO_STATUS,
    RESTART,
    Step,
    after_backup,
    at_extension,
    in_guest,
    leave_extension,
)

SCRIPTS = "/etc/azure/VMSnapshotScriptPluginConfig.json"
NO_SCRIPTS = in_guest(f"rm {SCRIPTS}")
SLOW_DISK_BYTES_S = 200_000


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


def slow_disk(scene: Scene) -> None:
    """Fill the guest's page cache with unwritten data on a disk that has become slow."""
    limits = {"write_bytes_sec": SLOW_DISK_BYTES_S}
    scene.guest.domain.setBlockIoTune("vdb", limits)
    scene.sh("setsid dd if=/dev/zero of=/data/unwritten bs=1M count=300 >/dev/null 2>&1 & sleep 3")


def quick_disk(scene: Scene) -> None:
    """Give the disk its speed back."""
    scene.guest.domain.setBlockIoTune("vdb", {"write_bytes_sec": 0})


DRILLS = (
    Drill(
        "X1 manifest emptied",
        "X1",
        (FAILED,),
        after_backup(f"truncate -s 0 {EXTENSION}/HandlerManifest.json"),
        remedy=Remedy.APPLY,
    ),
    Drill(
        "X1 program gone",
        "X1",
        (FAILED,),
        after_backup(f"rm -r {EXTENSION}/vmkeep_guest"),
        remedy=Remedy.APPLY,
    ),
    Drill(
        "X1 extension hangs",
        "X1",
        (NO_STATUS,),
        at_extension("pkill -STOP"),
        leave_extension,
    ),
    Drill(
        "X2 killed at once",
        "X2",
        (FAILED,),
        at_extension("pkill -KILL"),
        leave_extension,
    ),
    Drill(
        "X2 mounted noexec",
        "X2",
        (FAILED, "ExtensionInstallationFailure"),
        in_guest("cd /var/lib/waagent; mount --bind . .; mount -o remount,bind,noexec ."),
        in_guest(f"umount -l /var/lib/waagent; {RESTART}"),
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
        remedy=Remedy.APPLY,
    ),
    Drill(
        "F3 pre-script fails",
        "F3",
        ("Pre-ScriptExecutionFailed",),
        put_scripts("exit 7"),
        NO_SCRIPTS,
    ),
    Drill(
        "F3 pre-script too slow",
        "F3",
        ("Pre-ScriptTimeout",),
        put_scripts("sleep 60"),
        NO_SCRIPTS,
    ),
    Drill(
        "F3 pre-script open to all",
        "F3",
        ("InsufficientPermissionforPre-Script",),
        put_scripts("true", mode="777"),
        NO_SCRIPTS,
    ),
    Drill(
        "F3 pre-script missing",
        "F3",
        ("Pre-ScriptNotFound",),
        put_scripts("true", preScriptLocation="/etc/azure/none.sh"),
        NO_SCRIPTS,
    ),
    Drill(
        "F3 post-script fails",
        "F3",
        ("Post-ScriptExecutionFailed",),
        put_scripts("true", post="exit 7"),
        NO_SCRIPTS,
    ),
    Drill(
        "F3 configuration broken",
        "F3",
        ("IncorrectJSONConfigFile",),
        in_guest(f"mkdir -p /etc/azure; echo '{{' >{SCRIPTS}; chmod 600 {SCRIPTS}"),
        NO_SCRIPTS,
    ),
    Drill("F2 slow disk", "F2", ("UserErrorFsFreezeTimeout", "FreezeBroken"), slow_disk, quick_disk),
)
