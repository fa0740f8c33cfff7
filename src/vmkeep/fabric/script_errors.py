"""What the user's pre- and post-script can do to a backup; Azure's codes."""

from dataclasses import dataclass

from vmkeep.base.errors import Retry, VmkeepError


@dataclass(eq=False)
class ScriptFailed(VmkeepError):
    """An application script in the guest failed: a warning, or the backup's end if its owner wants that."""

    code = "ScriptFailed"
    retry = Retry.AFTER_CHANGE
    text = "a backup script in VM '{e.vm}' failed: {e.message}"
    remedy = (
        "Mend what /etc/azure/VMSnapshotScriptPluginConfig.json of the guest names; "
        "its continueBackupOnFailure says whether backups go on without."
    )
    vm: str
    message: str


@dataclass(eq=False)
class PreScriptFailed(ScriptFailed):
    """The pre-script returned an error."""

    code = "Pre-ScriptExecutionFailed"


@dataclass(eq=False)
class PostScriptFailed(ScriptFailed):
    """The post-script returned an error; what was captured is discarded."""

    code = "Post-ScriptExecutionFailed"


@dataclass(eq=False)
class PreScriptNotFound(ScriptFailed):
    """The pre-script does not exist."""

    code = "Pre-ScriptNotFound"


@dataclass(eq=False)
class PostScriptNotFound(ScriptFailed):
    """The post-script does not exist."""

    code = "Post-ScriptNotFound"


@dataclass(eq=False)
class PreScriptPermission(ScriptFailed):
    """The pre-script does not belong to root alone."""

    code = "InsufficientPermissionforPre-Script"


@dataclass(eq=False)
class PostScriptPermission(ScriptFailed):
    """The post-script does not belong to root alone."""

    code = "InsufficientPermissionforPost-Script"


@dataclass(eq=False)
class PreScriptTimedOut(ScriptFailed):
    """The pre-script took too long."""

    code = "Pre-ScriptTimeout"


@dataclass(eq=False)
class PostScriptTimedOut(ScriptFailed):
    """The post-script took too long."""

    code = "Post-ScriptTimeout"


@dataclass(eq=False)
class IncorrectPluginhostFile(ScriptFailed):
    """VMSnapshotPluginHost.conf cannot be used."""

    code = "IncorrectPluginhostFile"


@dataclass(eq=False)
class IncorrectJsonConfigFile(ScriptFailed):
    """VMSnapshotScriptPluginConfig.json cannot be used."""

    code = "IncorrectJSONConfigFile"
