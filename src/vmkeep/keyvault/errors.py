"""What can go wrong with keys.

WrongKey                what was wrapped cannot be opened with this key
MasterKeyUnsafe         others could read the master key
MasterKeyUnusable       the file is not a master key, or cannot be read or written
MasterKeyMissing        the file is gone, and there are vaults whose keys it wraps
"""

from dataclasses import dataclass

from vmkeep.base.errors import Retry, VmkeepError


@dataclass(eq=False)
class WrongKey(VmkeepError):
    """The wrapped key was made with another master key, for something else, or was altered."""

    retry = Retry.AFTER_CHANGE
    text = "the key of {e.context} cannot be unwrapped with the master key {e.path}"
    remedy = "Put back the master key that belongs to this installation: the file {e.path} from its backup."
    path: str
    context: str


@dataclass(eq=False)
class MasterKeyUnsafe(VmkeepError):
    """The master key can be read by others."""

    retry = Retry.AFTER_CHANGE
    text = "the master key {e.path} can be read by others (mode {e.mode})"
    remedy = "Find out who could have read it, then run `chmod 600 {e.path}`."
    path: str
    mode: str


@dataclass(eq=False)
class MasterKeyUnusable(VmkeepError):
    """The file with the master key cannot be used."""

    retry = Retry.AFTER_CHANGE
    text = "the master key {e.path} cannot be used: {e.why}"
    remedy = "Put back the file from its backup; without it no vault of this installation can be read."
    path: str
    why: str


@dataclass(eq=False)
class MasterKeyMissing(VmkeepError):
    """The file with the master key is gone; a new one could open none of the vaults there are."""

    retry = Retry.AFTER_CHANGE
    text = "the master key {e.path} is missing, and {e.vaults} vault(s) cannot be read without it"
    remedy = "Put back the file from its backup, readable by its owner only, then start again."
    path: str
    vaults: int
