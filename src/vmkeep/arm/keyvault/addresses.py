"""How key vaults are addressed: `<name>.vault.<host>`, the host being the one by which the service is reached.

Azure's clients tell a key vault's name from its host name alone and want the challenge's resource to be a suffix of it.
A service that is reached by an IP address has no names below it: its key vaults are below `localhost`.
"""

import re
from ipaddress import ip_address

from starlette.requests import HTTPConnection

from vmkeep.arm.service import Service
from vmkeep.keyvault.key_id import KeyId

_HOST = re.compile(r"(?P<name>[a-z0-9-]{3,24})\.vault\.(?P<below>.+)", re.IGNORECASE)


def split_host(netloc: str) -> tuple[str, str] | None:
    """Return a key vault's name and the host (with port) that it is below; None for a host that is no key vault's."""
    found = _HOST.fullmatch(netloc)
    return (found["name"], found["below"]) if found else None


def suffix_of(netloc: str) -> str:
    """Return what stands after a key vault's name and a dot, for a service reached by `netloc`."""
    below = split_host(netloc)
    if below:
        return f"vault.{below[1]}"
    host, colon, port = netloc.rpartition(":") if re.search(r":\d+$", netloc) else (netloc, "", "")
    return f"vault.{_named(host)}{colon}{port}"


def key_vault_url(connection: HTTPConnection, name: str) -> str:
    """Return a key vault's own URL, without a slash at its end."""
    return f"https://{name.lower()}.{suffix_of(connection.base_url.netloc)}"


def key_url(connection: HTTPConnection, key: KeyId) -> str:
    """Return a key's id as clients know it."""
    own = key.own_key_vault
    return str(key) if own is None else str(KeyId(key_vault_url(connection, own), key.name, key.version))


def read_key_url(here: Service, connection: HTTPConnection, url: str) -> KeyId:
    """Read a key's id as clients know it; raises InvalidValue. What is below a name of ours is our own key vault."""
    key = KeyId.parse(url)
    own = find_own_key_vault(here, connection, key.place)
    return key if own is None else KeyId.own(own, key.name, key.version)


def find_own_key_vault(here: Service, connection: HTTPConnection, url: str) -> str | None:
    """Return the name of our own key vault that is reached by a URL; None when it is elsewhere."""
    found = split_host(url.removeprefix("https://"))
    ours = {suffix_of(connection.base_url.netloc), *(suffix_of(netloc) for netloc in here.netlocs)}
    return found[0] if found and f"vault.{found[1]}" in ours else None


def _named(host: str) -> str:
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return host.lower()
    return "localhost"
