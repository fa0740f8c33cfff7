"""Key vaults elsewhere, Azure's own or another installation's: how to log in there, and what their refusals mean."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from azure.core.exceptions import AzureError, ClientAuthenticationError, DecodeError, HttpResponseError
from azure.identity import EnvironmentCredential

from vmkeep.base.errors import VmkeepError
from vmkeep.keyvault.errors import KeyVaultUnreachable

PATIENCE: dict[str, Any] = {
    "retry_total": 2,
    "retry_status": 0,  # else a server's Retry-After would be waited for, however long
    "connection_timeout": 10,
    "read_timeout": 20,
    "timeout": 45,
}
"""The clients' options, in seconds: neither a log-in nor a call takes much longer than `timeout`."""

_FORBIDDEN = 403
_PERMISSION = "AccessDenied"
_PERMISSIONS = {_PERMISSION, "ForbiddenByRbac", "ForbiddenByPolicy"}
_NETWORK = {"ForbiddenByFirewall", "ForbiddenByConnection"}


class Credential(Protocol):
    """How to log in there, as Microsoft's clients want it."""

    def get_token(self, *scopes: str, **options: Any) -> Any:  # Microsoft's own types
        """Return an access token."""
        ...


class Refusal(Protocol):
    """A kind of error that tells which entry of a key vault is meant, and what the key vault said."""

    def __call__(self, *, key: str, why: str) -> VmkeepError:
        """Return the error."""
        ...


class Login:
    """Who the service is in key vaults elsewhere; logs in at the first call that needs it."""

    def __init__(self, credential: Credential | None, **options: Any) -> None:  # the client's options
        """Without a credential it is that of the environment: AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET."""
        self._credential: Any = credential  # Microsoft's clients take several kinds
        self.options: dict[str, Any] = {**PATIENCE, **options}

    @property
    def credential(self) -> Any:  # Microsoft's own types
        """The credential, as Microsoft's clients want it."""
        if self._credential is None:
            self._credential = EnvironmentCredential(disable_instance_discovery=True, **PATIENCE)
        return self._credential


@contextmanager
def translated(key: str, *, refused: Refusal, unusable: Refusal) -> Iterator[None]:
    """Say what went wrong with an entry: no right to it, not usable, or KeyVaultUnreachable."""
    try:
        yield
    except ClientAuthenticationError as error:
        raise KeyVaultUnreachable(key=key, why=f"the log-in failed: {error.message}") from error
    except DecodeError:  # its text has the answer, which may hold the secret
        raise KeyVaultUnreachable(key=key, why="its answer cannot be read") from None
    except HttpResponseError as error:
        raise _kind(error, refused, unusable)(key=key, why=error.message) from error
    except (AzureError, ValueError) as error:
        raise KeyVaultUnreachable(key=key, why=str(error)) from error


def _kind(error: HttpResponseError, refused: Refusal, unusable: Refusal) -> Refusal:
    status = error.status_code or 0
    inner = _inner_code(error) if status == _FORBIDDEN else ""
    if inner in _PERMISSIONS:
        return refused
    passing = status in {408, 429} or inner in _NETWORK
    return unusable if 400 <= status < 500 and not passing else KeyVaultUnreachable  # noqa: PLR2004 - HTTP's classes


def _inner_code(error: HttpResponseError) -> str:
    """Return the code within the code: it tells a missing right from a disabled entry or a firewall."""
    inner = getattr(error.error, "innererror", None) or {}
    return str(inner.get("code", _PERMISSION))
