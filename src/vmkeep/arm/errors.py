"""What a client of the API can do wrong."""

from dataclasses import dataclass

from vmkeep.base.errors import Retry, VmkeepError


@dataclass(eq=False)
class BadResourceName(VmkeepError):
    """A container's or item's name is not one of a VM."""

    code = "BMSUserErrorInvalidItemName"
    retry = Retry.AFTER_CHANGE
    text = "'{e.name}' does not name a protected VM"
    remedy = "Use the form VM;iaasvmcontainerv2;<resource group>;<VM name>."
    name: str


@dataclass(eq=False)
class BadResourceId(VmkeepError):
    """An ARM id does not have the shape asked for."""

    code = "LinkedInvalidPropertyId"
    retry = Retry.AFTER_CHANGE
    text = "{e.what} '{e.id}' is not a valid resource id"
    remedy = "Use the id as a GET or list of that resource shows it."
    what: str
    id: str


@dataclass(eq=False)
class ResourceNotFound(VmkeepError):
    """There is no such resource."""

    text = "The Resource '{e.type}/{e.name}' under resource group '{e.resource_group}' was not found."
    remedy = "List the resources of that type to see which exist."
    type: str
    name: str
    resource_group: str


@dataclass(eq=False)
class ResourceGroupNotFound(VmkeepError):
    """There is no such resource group."""

    text = "Resource group '{e.name}' could not be found."
    remedy = "Use '{e.known}', the resource group of this host's VMs, or one that holds a vault."
    name: str
    known: str


@dataclass(eq=False)
class SubscriptionNotFound(VmkeepError):
    """The subscription in the path is not the one this service has."""

    text = "The subscription '{e.id}' could not be found."
    remedy = "Use {e.known}, the only subscription of this service."
    id: str
    known: str


@dataclass(eq=False)
class OperationNotFound(VmkeepError):
    """No operation with that id is known."""

    text = "The operation '{e.id}' could not be found."
    remedy = "Operations without a job are forgotten when the service restarts; look at the resource itself."
    id: str


@dataclass(eq=False)
class BadFilter(VmkeepError):
    """A `$filter` cannot be read."""

    code = "BMSUserErrorInvalidFilter"
    retry = Retry.AFTER_CHANGE
    text = "the filter '{e.filter}' is not valid: {e.why}"
    remedy = "Write it as: key eq 'value' and key eq 'value'."
    filter: str
    why: str


@dataclass(eq=False)
class BadRequestBody(VmkeepError):
    """The body lacks something or has something of the wrong kind."""

    code = "BMSUserErrorInvalidInput"
    retry = Retry.AFTER_CHANGE
    text = "the request body is not valid: {e.why}"
    remedy = "Correct the body and send it again."
    why: str


@dataclass(eq=False)
class WrongLocation(VmkeepError):
    """A vault was asked for in a place that is not this one."""

    code = "LocationNotAvailableForResourceType"
    retry = Retry.AFTER_CHANGE
    text = "The provided location '{e.location}' is not available for resource type '{e.type}'."
    remedy = "Use location '{e.known}', the only one of this service."
    location: str
    type: str
    known: str


@dataclass(eq=False)
class ItemInOtherVault(VmkeepError):
    """The VM is already protected, in another vault."""

    code = "BMSUserErrorContainerAlreadyRegisteredInDifferentVault"
    retry = Retry.AFTER_CHANGE
    text = "VM '{e.vm}' is already protected in vault '{e.vault}'"
    remedy = "Stop its protection there, then protect it here; what is retained there can still be restored."
    vm: str
    vault: str


@dataclass(eq=False)
class NotSupported(VmkeepError):
    """Azure has it, this service has not."""

    code = "UserErrorOperationNotSupported"
    text = "{e.what} is not supported"
    remedy = "{e.instead}"
    what: str
    instead: str


@dataclass(eq=False)
class AuthenticationFailed(VmkeepError):
    """A request came without a valid token."""

    retry = Retry.AFTER_CHANGE
    text = "Authentication failed. {e.why}"
    remedy = "Get a token from the token endpoint of this service and send it as a bearer token."
    why: str


@dataclass(eq=False)
class InvalidClient(VmkeepError):
    """The client id or secret is wrong."""

    code = "invalid_client"
    retry = Retry.AFTER_CHANGE
    text = "AADSTS7000215: Invalid client secret provided or unknown client '{e.client_id}'."
    remedy = "Use the client id and secret made at first start of the service."
    client_id: str


@dataclass(eq=False)
class TooManyFailures(VmkeepError):
    """Too many failed log-ins lately."""

    code = "temporarily_unavailable"
    retry = Retry.LATER
    text = "too many failed log-ins of client '{e.client_id}'"
    remedy = "Wait {e.wait_s} seconds and try again with the right secret."
    client_id: str
    wait_s: int


@dataclass(eq=False)
class UnsupportedGrant(VmkeepError):
    """The token request is not of the client-credentials kind."""

    code = "unsupported_grant_type"
    retry = Retry.AFTER_CHANGE
    text = "AADSTS70003: the grant type '{e.grant_type}' is not supported"
    remedy = "Log in as a service principal: grant_type=client_credentials."
    grant_type: str
