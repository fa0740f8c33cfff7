"""Why a call failed, from where the caller stands."""

from dataclasses import dataclass, field

from vmkeep.base.errors import Retry, VmkeepError


@dataclass(eq=False)
class NoCredentials(VmkeepError):
    """The file that says where the service is and how to log in cannot be used."""

    retry = Retry.AFTER_CHANGE
    text = "cannot read the client file {e.path}: {e.why}"
    remedy = (
        "Start the service with 'vmkeep up' (it writes the file), run this as the same user, "
        "or name the file with --client-file."
    )
    path: str
    why: str


@dataclass(eq=False)
class ServiceUnreachable(VmkeepError):
    """Nothing answers where the service should be."""

    retry = Retry.LATER
    text = "cannot reach the service at {e.url}: {e.why}"
    remedy = "Start it with 'vmkeep up', or wait until it says that it is ready."
    url: str
    why: str


@dataclass(eq=False)
class BadAnswer(VmkeepError):
    """What answered is not the service, or not a version this client knows."""

    text = "the answer of {e.url} makes no sense: {e.why}"
    remedy = "Check that client and service have the same version and that nothing else uses the address."
    url: str
    why: str


@dataclass(eq=False)
class ClientError(VmkeepError):
    """The service refused a call; code, message and advice are its own."""

    text = "{e.message}"
    remedy = "{e.service_advice}"
    status: int
    service_code: str
    message: str
    service_advice: str = ""
    details: dict[str, object] = field(default_factory=dict)


@dataclass(eq=False)
class NotOne(VmkeepError):
    """A name or prefix fits nothing, or several things."""

    retry = Retry.AFTER_CHANGE
    text = "{e.why}"
    remedy = "{e.what_to_do}"
    why: str
    what_to_do: str
