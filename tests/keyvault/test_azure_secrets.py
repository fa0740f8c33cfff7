"""Key vaults elsewhere: what their answers mean for the secret of an encrypted disk, whatever they answer."""

import json
import logging
import socket
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import pytest
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import RequestsTransport
from requests import PreparedRequest, Response, Session
from requests.adapters import HTTPAdapter
from urllib3 import HTTPResponse

from vmkeep.base.errors import InvalidValue, VmkeepError
from vmkeep.keyvault.azure_secrets import AzureSecrets
from vmkeep.keyvault.errors import KeyVaultUnreachable, SecretRefused, SecretUnusable
from vmkeep.model.disk_key import KeyReference

REFERENCE = KeyReference("https://kv1.vault.azure.net", "os-key")
CANARY = "canary-51c2a7e0"
CLIENT = "6a1f2b04-0000-4000-8000-000000000001"


class LoggedIn:
    """A log-in that always works."""

    def get_token(self, *_scopes: str, **_options: Any) -> AccessToken:  # as Microsoft's clients call it
        return AccessToken("token", 2**33)


class Answering(HTTPAdapter):
    """Answers every request the same, in place of a network."""

    def __init__(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        super().__init__()
        self._given = (status, body, {"Content-Type": "application/json", **headers})

    def send(self, request: PreparedRequest, *_: Any, **__: Any) -> Response:  # as requests calls it
        status, body, headers = self._given
        raw = HTTPResponse(BytesIO(body), status=status, headers=headers, preload_content=False)
        answer: Response = self.build_response(request, raw)
        return answer


LOGGED_IN = LoggedIn()


def azure(
    status: int,
    body: object,
    headers: Mapping[str, str] | None = None,
    credential: LoggedIn | None = LOGGED_IN,
) -> AzureSecrets:
    """Return a key vault of Azure's that answers so."""
    session = Session()
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    session.mount("https://", Answering(status, content, headers or {}))
    return AzureSecrets(CLIENT, credential, transport=RequestsTransport(session=session, session_owner=False))


def refusal(inner: str) -> dict[str, object]:
    return {"error": {"code": "Forbidden", "message": "said no", "innererror": {"code": inner}}}


@pytest.mark.parametrize("inner", ["AccessDenied", "ForbiddenByPolicy", "ForbiddenByRbac"])
def test_refused_permission_is_a_missing_right_and_the_remedy_is_azures(inner: str) -> None:
    found = azure(403, refusal(inner)).find_rights(REFERENCE)
    assert found.missing == ("secrets get", "secrets list", "secrets backup")
    granting = f"az keyvault set-policy --name kv1 --spn {CLIENT} --secret-permissions get list backup"
    assert found.grant.startswith(granting)
    with pytest.raises(SecretRefused, match="said no"):
        azure(403, refusal(inner)).fetch(REFERENCE)


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (403, refusal("SecretDisabled"), SecretUnusable),
        (404, {"error": {"code": "SecretNotFound", "message": "not found"}}, SecretUnusable),
        (403, refusal("ForbiddenByFirewall"), KeyVaultUnreachable),
        (401, {"error": {"code": "Unauthorized", "message": "who"}}, KeyVaultUnreachable),
        (429, {"error": {"code": "Throttled", "message": "slowly"}}, KeyVaultUnreachable),
        (503, {"error": {"code": "Busy", "message": "busy"}}, KeyVaultUnreachable),
        (200, b"<html>a proxy", KeyVaultUnreachable),
        (200, {"id": "https://kv1.vault.azure.net/secrets/os-key/1"}, SecretUnusable),
    ],
)
def test_other_trouble_is_no_missing_right_and_is_not_waited_for(
    status: int, body: object, kind: type[VmkeepError]
) -> None:
    with pytest.raises(kind):
        azure(status, body, {"Retry-After": "3600"}).fetch(REFERENCE)


@pytest.mark.parametrize("status", [403, 404, 503])
def test_rights_cannot_be_told_of_a_key_vault_in_trouble(status: int) -> None:
    with pytest.raises((SecretUnusable, KeyVaultUnreachable)):
        azure(status, refusal("SecretDisabled")).find_rights(REFERENCE)


def test_secret_is_fetched_without_a_word_in_the_logs(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "azure")
    answer = {"value": CANARY, "id": f"{REFERENCE.url}/7"}
    found = azure(200, answer).fetch(REFERENCE)
    assert (found.version, found.passphrase) == ("7", CANARY)
    assert "https://kv1.vault.azure.net/secrets/os-key" in caplog.text
    assert CANARY not in caplog.text


def test_broken_answer_with_the_secret_leaves_no_trace(capsys: pytest.CaptureFixture[str]) -> None:
    cut_short = json.dumps({"value": CANARY, "id": f"{REFERENCE.url}/1"})[:-9].encode()
    with pytest.raises(KeyVaultUnreachable) as raised:
        azure(200, cut_short).fetch(REFERENCE)
    error = raised.value
    told = (*traceback.format_exception(error), str(error), str(error.facts()), *capsys.readouterr())
    assert CANARY not in "".join(told)


@contextmanager
def silent_server() -> Iterator[int]:
    """Listen and never say a word."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield int(listening.getsockname()[1])


def test_key_vault_that_never_answers_is_given_up() -> None:
    with silent_server() as port, pytest.raises(KeyVaultUnreachable, match="timed out"):
        AzureSecrets(CLIENT, LOGGED_IN, retry_total=0, read_timeout=0.2, connection_timeout=0.2).find_rights(
            KeyReference(f"https://127.0.0.1:{port}", "os-key")
        )


def test_environment_without_a_log_in_says_which_variables_are_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("AZURE_TENANT_ID", "AZURE_CLIENT_ID", "AZURE_CLIENT_SECRET"):
        monkeypatch.delenv(name, raising=False)
    challenge = (
        'Bearer authorization="https://login.microsoftonline.com/t", resource="https://vault.azure.net"'
    )
    key_vault = azure(401, {}, {"WWW-Authenticate": challenge}, credential=None)
    with pytest.raises(KeyVaultUnreachable, match="log-in failed") as raised:
        key_vault.find_rights(REFERENCE)
    assert "AZURE_CLIENT_ID" in raised.value.advice


@pytest.mark.parametrize(
    ("key_vault", "secret"),
    [
        ("https://KV1.vault.azure.net/", "os-key"),
        ("https://kv1.vault.azure.net", "os-key"),
        ("", "https://kv1.vault.azure.net/secrets/os-key"),
        ("https://kv1.vault.azure.net", "https://kv1.vault.azure.net/secrets/os-key"),
    ],
)
def test_secret_elsewhere_is_named_by_url(key_vault: str, secret: str) -> None:
    assert KeyReference.parse(key_vault, secret) == REFERENCE
    assert REFERENCE.is_elsewhere


@pytest.mark.parametrize(
    ("key_vault", "secret"),
    [
        ("", "os-key"),
        ("http://kv1.vault.azure.net", "os-key"),
        ("", "https://kv1.vault.azure.net/secrets/os-key/7f3a"),
        ("", "https://kv1.vault.azure.net/keys/os-key"),
        ("", "https://me:word@kv1.vault.azure.net/secrets/os-key"),
        ("", "https://kv1.vault.azure.net/secrets/os-key?api-version=1"),
        ("kv2", "https://kv1.vault.azure.net/secrets/os-key"),
        ("https://kv1.vault.azure.net", "os/key"),
    ],
)
def test_reference_that_could_mean_another_secret_is_refused(key_vault: str, secret: str) -> None:
    with pytest.raises(InvalidValue):
        KeyReference.parse(key_vault, secret)
