"""Who this installation is: subscription, tenant, token key, and the client of the local command line."""

import json
from dataclasses import dataclass
from pathlib import Path

from joserfc.errors import JoseError
from joserfc.jwk import ECKey

from vmkeep.arm.service import Service
from vmkeep.base.ids import new_guid, new_token
from vmkeep.catalog import Catalog
from vmkeep.server.errors import KeyFileUnreadable
from vmkeep.server.state_dir import write_private

LOCAL_CLIENT = "local-client.json"


@dataclass(frozen=True, slots=True)
class Installation:
    """GUIDs made at first start, kept for ever."""

    subscription: str
    tenant: str


def ensure_installation(catalog: Catalog) -> Installation:
    """Return this installation's GUIDs; make them at first start."""
    return Installation(
        subscription=_ensure_guid(catalog, "subscription"), tenant=_ensure_guid(catalog, "tenant")
    )


def ensure_token_key(state_dir: Path) -> ECKey:
    """Return the key that signs tokens; make it at first start. Raises KeyFileUnreadable."""
    path = state_dir / "token-key.pem"
    if not path.exists():
        write_private(path, ECKey.generate_key("P-256").as_pem(private=True))
    try:
        return ECKey.import_key(path.read_bytes())
    except (OSError, ValueError, JoseError) as error:
        raise KeyFileUnreadable(path=str(path), why=str(error)) from error


def ensure_local_client(service: Service, state_dir: Path, *, url: str, ca: Path) -> Path:
    """Write the file by which the local command line logs in; returns its path.

    Id and secret stay as they are unless the file is gone, damaged, or the catalog does not know the id.
    """
    path = state_dir / LOCAL_CLIENT
    known = _find_credentials(path)
    client_id = service.catalog.find_setting("local-client")
    if known is None or known["clientId"] != client_id:
        known = {"clientId": new_guid(), "clientSecret": new_token()}
        service.clients.put(known["clientId"], known["clientSecret"])
        service.catalog.put_setting("local-client", known["clientId"])
    content = {
        "url": url,
        "tenant": service.tenant,
        "subscription": service.subscription,
        "clientId": known["clientId"],
        "clientSecret": known["clientSecret"],
        "caFile": str(ca),
    }
    write_private(path, json.dumps(content, indent=2).encode() + b"\n")
    return path


def _find_credentials(path: Path) -> dict[str, str] | None:
    try:
        content = json.loads(path.read_bytes())
        return {"clientId": str(content["clientId"]), "clientSecret": str(content["clientSecret"])}
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _ensure_guid(catalog: Catalog, key: str) -> str:
    found = catalog.find_setting(key)
    if found is None:
        found = new_guid()
        catalog.put_setting(key, found)
    return found
