"""Keys: make, import, look at, change, rotate, use."""

from enum import StrEnum
from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import Field

from vmkeep.arm.keyvault.bundles import EntryBody, read_bytes, show_bytes, show_version
from vmkeep.arm.keyvault.names import EntryName
from vmkeep.arm.keyvault.scope import TheKeys
from vmkeep.arm.members import Body, Json, Text
from vmkeep.keyvault.errors import BadKeyInput
from vmkeep.keyvault.key_entries import KeyOperation

router = APIRouter()
_KEY = "/keys/{name}"
_VERSION = f"{_KEY}/{{version}}"


class NewKeyBody(EntryBody):
    """A key to be made."""

    kty: str
    key_size: Annotated[int, Field(alias="key_size")] = 2048
    key_ops: Annotated[list[str] | None, Field(alias="key_ops")] = None


class ImportBody(EntryBody):
    """A key that was made elsewhere."""

    key: Json = Field(repr=False)


class KeyChangeBody(EntryBody):
    """What is to be different about a key."""

    key_ops: Annotated[list[str] | None, Field(alias="key_ops")] = None


class UseBody(Body):
    """What a key is to work on."""

    alg: Text
    value: str = Field(repr=False)


class WireOperation(StrEnum):
    """Operations as paths spell them."""

    ENCRYPT = "encrypt"
    DECRYPT = "decrypt"
    WRAP_KEY = "wrapkey"
    UNWRAP_KEY = "unwrapkey"


@router.post(f"{_KEY}/create")
def create(request: Request, keys: TheKeys, name: EntryName, body: NewKeyBody) -> Json:
    """Make a key, or its next version."""
    if body.kty.upper() != "RSA":
        raise BadKeyInput(why=f"Keys here are of type RSA, not {body.kty}.")
    made = keys.create(name, size=body.key_size, operations=body.key_ops, change=body.change())
    return show_version(request, keys, made)


@router.put(_KEY)
def import_key(request: Request, keys: TheKeys, name: EntryName, body: ImportBody) -> Json:
    """Keep a key that was made elsewhere."""
    kept = keys.import_jwk(name, body.key, operations=body.key.get("key_ops"), change=body.change())
    return show_version(request, keys, kept)


@router.get(_KEY)
@router.get(_VERSION)
def get(request: Request, keys: TheKeys, name: str, version: str = "") -> Json:
    """Return a key's public half and what it may be used for."""
    return show_version(request, keys, keys.get(name, version))


@router.patch(_KEY)
@router.patch(_VERSION)
def update(request: Request, keys: TheKeys, name: str, body: KeyChangeBody, version: str = "") -> Json:
    """Change what a key may be used for and when."""
    changed = keys.update(name, version, operations=body.key_ops, change=body.change())
    return show_version(request, keys, changed)


@router.post(f"{_KEY}/rotate")
def rotate(request: Request, keys: TheKeys, name: str) -> Json:
    """Make the next version."""
    return show_version(request, keys, keys.rotate(name))


@router.post(f"{_KEY}/{{operation}}")
@router.post(f"{_VERSION}/{{operation}}")
def use(  # noqa: PLR0917 - named by the route
    request: Request, keys: TheKeys, name: str, operation: WireOperation, body: UseBody, version: str = ""
) -> Json:
    """Encrypt, decrypt, wrap or unwrap."""
    used, result = keys.use(
        KeyOperation[operation.name], name, version, algorithm=body.alg, value=read_bytes(body.value)
    )
    kid = show_version(request, keys, used)["key"]["kid"]
    return {"kid": kid, "value": show_bytes(result)}
