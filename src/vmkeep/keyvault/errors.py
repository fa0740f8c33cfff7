"""What can go wrong with keys.

The master key:

WrongKey                what was wrapped cannot be opened with this key
MasterKeyUnsafe         others could read the master key
MasterKeyUnusable       the file is not a master key, or cannot be read or written
MasterKeyMissing        the file is gone, and there are vaults whose keys it wraps

Key vaults and what is in them:

KeyVaultNotFound        there is no such key vault
KeyVaultExists          its name is taken
DeletedKeyVaultExists   its name is taken by one that can still be recovered
KeyVaultsUnreadable     the file with all key vaults cannot be used
MissingRight            no access policy permits that
EntryNotFound           there is no such key or secret, or no such version
EntryExists             its name is taken
DeletedEntryExists      its name is taken by one that can still be recovered
EntryDisabled           it is there and must not be used
EntryOutOfTime          it is not yet valid, or no longer
KeyOperationForbidden   the key was not made for that
BadKeyInput             what was given makes no sense to that key
PurgeProtected          nobody may purge before its time
KeyInUse                vaults would be lost without it

A vault's data key:

EncryptionKeyRefused    the key vault does not let the backups use the key
EncryptionKeyUnusable   the key is not there, or not fit for use
KeyVaultUnreachable     the key vault does not answer
WrappedKeyDamaged       the wrapped key was altered, or belongs to another vault
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
    text = "the key file {e.path} can be read by others (mode {e.mode})"
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
    text = "the master key {e.path} is missing, and {e.vaults} vault(s){e.and_key_vaults} cannot be read without it"
    remedy = "Put back the file from its backup, readable by its owner only, then start again."
    path: str
    vaults: int
    key_vaults: int = 0

    @property
    def and_key_vaults(self) -> str:
        """The key vaults that are lost too, if there are any."""
        return f" and {self.key_vaults} key vault(s)" if self.key_vaults else ""


@dataclass(eq=False)
class KeyVaultNotFound(VmkeepError):
    """There is no such key vault."""

    text = "there is no key vault '{e.name}'"
    remedy = "See the key vaults: vmkeep keyvault list. One that was deleted: vmkeep keyvault recover."
    name: str


@dataclass(eq=False)
class KeyVaultExists(VmkeepError):
    """Another key vault has the name."""

    code = "VaultAlreadyExists"
    retry = Retry.AFTER_CHANGE
    text = "the key vault '{e.name}' already exists in resource group '{e.resource_group}'"
    remedy = "Choose another name, or use the one there is."
    name: str
    resource_group: str


@dataclass(eq=False)
class DeletedKeyVaultExists(VmkeepError):
    """A deleted key vault has the name."""

    code = "ConflictError"
    retry = Retry.AFTER_CHANGE
    text = "a key vault '{e.name}' was deleted and can still be recovered"
    remedy = "Recover it (vmkeep keyvault recover), or purge it first (vmkeep keyvault purge)."
    name: str


@dataclass(eq=False)
class KeyVaultsUnreadable(VmkeepError):
    """The file with the key vaults cannot be used."""

    retry = Retry.LATER
    text = "the key vaults in {e.path} cannot be read or written: {e.why}"
    remedy = "See that the file belongs to this version and installation and its disk is not full; else put back its backup."
    path: str
    why: str


@dataclass(eq=False)
class MissingRight(VmkeepError):
    """No access policy of the key vault permits it."""

    retry = Retry.AFTER_CHANGE
    text = (
        "The user, group or application '{e.identity}' does not have {e.kind} {e.right} permission "
        "on key vault '{e.key_vault}'."
    )
    remedy = (
        "Permit it: vmkeep keyvault set-policy --name {e.key_vault} --object-id {e.identity} "
        "{e.option} {e.right}"
    )
    identity: str
    kind: str
    right: str
    key_vault: str

    @property
    def option(self) -> str:
        """The command line's option for rights of this kind."""
        return f"--{self.kind.removesuffix('s')}-permissions"


@dataclass(eq=False)
class EntryNotFound(VmkeepError):
    """There is no such key or secret, or no such version of it."""

    text = "A {e.what} with (name/id) {e.name} was not found in this key vault."
    remedy = "List them to see which there are; one that was deleted may still be recovered."
    what: str
    name: str


@dataclass(eq=False)
class EntryExists(VmkeepError):
    """A key or secret has the name."""

    retry = Retry.AFTER_CHANGE
    text = "The {e.what} {e.name} is already there."
    remedy = "Delete and purge it first, or use another key vault."
    what: str
    name: str


@dataclass(eq=False)
class DeletedEntryExists(VmkeepError):
    """A deleted key or secret has the name."""

    retry = Retry.AFTER_CHANGE
    text = "The {e.what} {e.name} is currently in a deleted but recoverable state, and its name cannot be reused."
    remedy = "Recover it, or purge it first."
    what: str
    name: str


@dataclass(eq=False)
class EntryDisabled(VmkeepError):
    """The key or secret is disabled."""

    retry = Retry.AFTER_CHANGE
    text = "Operation {e.operation} is not allowed on a disabled {e.what}: {e.name}."
    remedy = "Enable it: vmkeep keyvault {e.what} set-attributes --name {e.name} --enabled."
    what: str
    name: str
    operation: str


@dataclass(eq=False)
class EntryOutOfTime(VmkeepError):
    """The key is not yet valid, or no longer."""

    retry = Retry.AFTER_CHANGE
    text = "Operation {e.operation} is not allowed on a key that is {e.why}: {e.name}."
    remedy = "Rotate the key, or change its times."
    name: str
    operation: str
    why: str


@dataclass(eq=False)
class KeyOperationForbidden(VmkeepError):
    """The key was not made for this operation."""

    retry = Retry.AFTER_CHANGE
    text = "Operation {e.operation} is not permitted on key {e.name}, whose operations are {e.permitted}."
    remedy = "Add the operation to the key's own, or use another key."
    name: str
    operation: str
    permitted: str


@dataclass(eq=False)
class BadKeyInput(VmkeepError):
    """A key cannot work with what was given."""

    text = "{e.why}"
    remedy = "Correct it and try again."
    why: str


@dataclass(eq=False)
class PurgeProtected(VmkeepError):
    """The key vault keeps what is deleted until its time is over."""

    text = "key vault '{e.name}' is protected against purging"
    remedy = "Wait: what is deleted goes by itself after {e.days} days."
    name: str
    days: int


@dataclass(eq=False)
class KeyInUse(VmkeepError):
    """Vaults would be lost for ever."""

    retry = Retry.AFTER_CHANGE
    text = (
        "{e.what} '{e.name}' opens the vault(s) {e.vaults}: without it none of their backups can ever be read"
    )
    remedy = "Give those vaults another key first: vmkeep vault encryption update. Or delete them."
    what: str
    name: str
    vaults: str


@dataclass(eq=False)
class EncryptionKeyRefused(VmkeepError):
    """The backups' identity lacks a right on the key vault; the code is Azure's, its spelling too."""

    code = "UserErrorCMKMissingMangedIdentityPermissionOnKeyVault"
    retry = Retry.AFTER_CHANGE
    text = "the key vault does not let backups use the key {e.key}: {e.why}"
    remedy = "Give the backup service the key permissions get, wrapKey and unwrapKey, then try again. {e.advice_there}"
    key: str
    why: str
    advice_there: str = ""


@dataclass(eq=False)
class EncryptionKeyUnusable(VmkeepError):
    """The key that opens a vault is disabled, deleted, expired or not what it was."""

    retry = Retry.AFTER_CHANGE
    text = "the encryption key {e.key} cannot be used: {e.why}"
    remedy = "Make the key usable again (enable or recover it), then try again. {e.advice_there}"
    key: str
    why: str
    advice_there: str = ""


@dataclass(eq=False)
class SecretRefused(VmkeepError):
    """A key vault elsewhere does not permit what a backup needs of a secret."""

    retry = Retry.AFTER_CHANGE
    text = "the key vault does not let backups use the secret {e.key}: {e.why}"
    remedy = (
        "Give the backup service the secret permissions get, list and backup there. "
        "Permissions just granted may take a moment to hold."
    )
    key: str
    why: str


@dataclass(eq=False)
class SecretUnusable(VmkeepError):
    """A secret of a key vault elsewhere is not there, is disabled, or is none that opens a disk."""

    retry = Retry.AFTER_CHANGE
    text = "the secret {e.key} cannot be had: {e.why}"
    remedy = (
        "See it there: az keyvault secret show --id {e.key}. Enable or recover it, or write its name right."
    )
    key: str
    why: str


@dataclass(eq=False)
class KeyVaultUnreachable(VmkeepError):
    """A key vault elsewhere does not answer, or does not let us log in."""

    retry = Retry.LATER
    text = "the key vault of {e.key} cannot be used: {e.why}"
    remedy = "See that its address is right and reachable and that AZURE_TENANT_ID, AZURE_CLIENT_ID and the secret are set."
    key: str
    why: str


@dataclass(eq=False)
class WrappedKeyDamaged(VmkeepError):
    """The wrapped data key is not what was made for this vault."""

    text = "the key of {e.context} is damaged or belongs to another vault"
    remedy = "Put back the catalog from its backup."
    context: str


@dataclass(eq=False)
class RightsNotOurs(VmkeepError):
    """Rights on a key vault elsewhere are granted there."""

    retry = Retry.AFTER_CHANGE
    text = "vmkeep cannot grant rights on {e.key_vault}, which is not its own"
    remedy = "Its owner runs: {e.grant}."
    key_vault: str
    grant: str
