"""The client file: where the service is and how to log in. `vmkeep up` writes it for the local command line."""

import json
from dataclasses import dataclass
from pathlib import Path

from vmkeep.client.errors import NoCredentials


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is needed to call the service."""

    url: str
    tenant: str
    subscription: str
    client_id: str
    client_secret: str
    ca_file: Path


def read_credentials(path: Path) -> Credentials:
    """Read a client file; raises NoCredentials."""
    try:
        content = json.loads(path.read_bytes())
        return Credentials(
            url=content["url"].rstrip("/"),
            tenant=content["tenant"],
            subscription=content["subscription"],
            client_id=content["clientId"],
            client_secret=content["clientSecret"],
            ca_file=Path(content["caFile"]),
        )
    except OSError as error:
        raise NoCredentials(path=str(path), why=error.strerror or str(error)) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise NoCredentials(path=str(path), why=f"it is damaged ({error!r})") from error
