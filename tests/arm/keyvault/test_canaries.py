"""Planted secrets never come out but by the one answer that is asked for them: not in logs, errors, lists or files."""

import logging
import ssl
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from azure.core.exceptions import HttpResponseError
from azure.keyvault.keys import JsonWebKey
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.arm.keyvault.conftest import Sdk
from vmkeep.keyvault.local_keyring import LocalKeyring

CANARY = "canary-8d1f4c5b"
PLAINTEXT = b"canary-plaintext-77aa"


def urlsafe(value: bytes) -> str:
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def number(value: int) -> bytes:
    return value.to_bytes((value.bit_length() + 7) // 8)


@pytest.fixture(scope="module")
def private() -> rsa.RSAPrivateNumbers:
    return rsa.generate_private_key(65537, 2048).private_numbers()


def jwk_of(private: rsa.RSAPrivateNumbers) -> dict[str, Any]:  # as JSON
    public = private.public_numbers
    parts = {"n": public.n, "e": public.e, "d": private.d, "p": private.p, "q": private.q}
    return {"kty": "RSA", **{name: urlsafe(number(part)) for name, part in parts.items()}}


def spellings(private: rsa.RSAPrivateNumbers) -> Iterator[bytes]:
    """Yield every form in which a canary could come out."""
    for secret in (CANARY.encode(), PLAINTEXT, number(private.d)[8:104], number(private.p)[8:104]):
        yield from (secret, secret.hex().encode(), repr(secret)[2:-1].encode())
        yield from (b64encode(secret[start:])[2:-6] for start in range(3))
        yield from (urlsafe_b64encode(secret[start:])[2:-6] for start in range(3))
    for part in (private.d, private.p, private.q):
        yield str(part).encode()


@contextmanager
def refused() -> Iterator[None]:
    with pytest.raises(HttpResponseError):
        yield


def test_no_secret_leaves_a_trace(
    sdk: Sdk,
    private: rsa.RSAPrivateNumbers,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.DEBUG)
    key_vault = sdk.create()
    keys, secrets, jwk = sdk.keys(key_vault), sdk.secrets(key_vault), jwk_of(private)
    answers: list[str] = []

    secrets.set_secret("disk", CANARY)
    assert secrets.get_secret("disk").value == CANARY
    key = keys.import_key(
        "kek", JsonWebKey(**{k: urlsafe_b64decode(v + "==") for k, v in jwk.items() if k != "kty"}, kty="RSA")
    )
    crypto = sdk.crypto(key)
    sealed = crypto.encrypt("RSA-OAEP-256", PLAINTEXT)
    assert crypto.decrypt("RSA-OAEP-256", sealed.ciphertext).plaintext == PLAINTEXT
    blob = secrets.backup_secret("disk")
    answers += [str(blob), str(keys.backup_key("kek")), str(vars(key)), str(sealed.ciphertext)]

    token = sdk.credential.get_token(f"{sdk.url}/.default").token
    url = key_vault.properties.vault_uri.rstrip("/")
    with httpx.Client(
        verify=ssl.create_default_context(cafile=sdk.trust),
        headers={"Authorization": f"Bearer {token}"},
        params={"api-version": "7.5"},
    ) as client:

        def ask(method: str, path: str, body: Any) -> None:  # JSON of any shape
            answers.append(client.request(method, url + path, json=body).text)

        for path in ("/secrets", "/deletedsecrets", "/keys", "/secrets/disk/versions", "/keys/kek/versions"):
            answers.append(client.get(url + path).text)
        ask("PUT", "/secrets/wrong", {"value": [CANARY]})
        ask("PUT", "/secrets/wrong", CANARY)
        ask("PUT", "/secrets/no_such_name!", {"value": CANARY})
        ask("PUT", "/secrets/long", {"value": CANARY * 3000})
        ask("POST", "/secrets/disk", {"value": CANARY})
        ask("POST", "/secrets/restore", {"value": urlsafe(CANARY.encode())})
        ask("PUT", "/keys/half", {"key": {**jwk, "q": jwk["p"]}})
        ask("PUT", "/keys/odd", {"key": {**jwk, "kty": "EC"}})
        ask("PUT", "/keys/odd", {"key": [jwk]})
        ask("POST", "/keys/kek/1/encrypt", {"alg": "none", "value": urlsafe(PLAINTEXT)})
        ask("POST", "/keys/kek//encrypt", {"alg": ["RSA-OAEP"], "value": urlsafe(PLAINTEXT)})
        ask("POST", "/keys/kek//decrypt", {"alg": "RSA-OAEP", "value": urlsafe(PLAINTEXT)})
        with monkeypatch.context() as broken:
            broken.setattr(LocalKeyring, "wrap", lambda *_: 1 / 0)
            ask("PUT", "/secrets/crash", {"value": CANARY})
            ask("PUT", "/keys/crash", {"key": jwk})
        sdk.create(accessPolicies=[])
        ask("PUT", "/secrets/disk", {"value": CANARY})
        ask("PUT", "/keys/kek", {"key": jwk})

    with refused():
        secrets.get_secret("disk")
    files = [path.read_bytes() for path in (tmp_path / "state").rglob("*") if path.is_file()]
    logs = [str(sdk.running.logs), *(record.getMessage() for record in caplog.records if from_us(record))]
    assert "arm.request.crashed" in logs[0]
    assert any(b"kek" in content for content in files)
    for where, content in (("answer", answers), ("log", logs), ("file", files)):
        for one in content:
            raw = one if isinstance(one, bytes) else one.encode()
            for canary in spellings(private):
                assert canary not in raw, (where, canary)


def from_us(record: logging.LogRecord) -> bool:
    """Leave out what the clients in this process say of their own requests."""
    return not record.name.startswith(("azure", "msal", "urllib3", "httpx", "httpcore", "hypothesis"))
