"""Calls the API: bearer token, pages, errors, operations."""

import ssl
from collections.abc import Iterator
from copy import copy
from typing import Any

import httpx

from vmkeep.base.clock import Clock, SystemClock
from vmkeep.client.credentials import Credentials
from vmkeep.client.errors import BadAnswer, ClientError, NoCredentials, ServiceUnreachable

Json = dict[str, Any]  # JSON objects as the service sends them
API_VERSION = "2026-10-01"
_TIMEOUT = httpx.Timeout(30, connect=5)
_LONG = httpx.Timeout(None, connect=5)
_EARLY_S = 60
_UNAUTHORIZED = 401


class Session:
    """An open connection to the service. Every call raises ServiceUnreachable, ClientError or BadAnswer."""

    def __init__(self, credentials: Credentials, clock: Clock | None = None) -> None:
        self.credentials = credentials
        self.clock = clock or SystemClock()
        self._token = ""
        self._token_ends = 0.0
        try:
            trust = ssl.create_default_context(cafile=str(credentials.ca_file))
        except OSError as error:
            raise NoCredentials(path=str(credentials.ca_file), why=str(error)) from error
        self._http = httpx.Client(base_url=credentials.url, verify=trust, timeout=_TIMEOUT, trust_env=False)
        self._host = ""

    def at(self, url: str) -> "Session":
        """Return the same connection, speaking to another name of the service, such as a key vault's.

        The name need not be known to this machine's resolver: it is only said, not looked up.
        """
        other = copy(self)
        other._host = httpx.URL(url).netloc.decode()  # noqa: SLF001 - a session of this class
        return other

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def get(self, path: str, **query: str) -> Json:
        """Return a resource."""
        return self._json(self._call("GET", path, query=query))

    def list(self, path: str, **query: str) -> Iterator[Json]:
        """Yield a list's resources, page after page."""
        answer = self.get(path, **query)
        yield from answer["value"]
        while answer.get("nextLink"):
            answer = self._json(self._call("GET", answer["nextLink"]))
            yield from answer["value"]

    def put(self, path: str, body: Json) -> Json:
        """Make or replace a resource and wait until that is in force; returns the answer's body."""
        return self._settled(self._call("PUT", path, body=body))

    def post(self, path: str, body: Json | None = None, *, long: bool = False) -> Json:
        """Call an action and wait until it is in force; `long` ones may take hours to answer."""
        return self._settled(self._call("POST", path, body=body or {}, timeout=_LONG if long else _TIMEOUT))

    def download(self, path: str) -> bytes:
        """Call an action that answers with a file, however long that takes."""
        return self._call("POST", path, body={}, timeout=_LONG).content

    def patch(self, path: str, body: Json) -> Json:
        """Change what is sent of a resource, keep the rest; returns the answer's body."""
        return self._settled(self._call("PATCH", path, body=body))

    def delete(self, path: str, **query: str) -> Json:
        """Delete a resource and wait until it is gone."""
        return self._settled(self._call("DELETE", path, query=query))

    def _settled(self, response: httpx.Response) -> Json:
        """Follow the operation, if there is one; return its last state, else the body."""
        where = response.headers.get("Azure-AsyncOperation")
        if response.status_code != httpx.codes.ACCEPTED or where is None:
            return self._json(response)
        while True:
            polled = self._call("GET", where)
            operation = self._json(polled)
            if operation["status"] == "Succeeded":
                return operation
            if operation["status"] != "InProgress":
                raise self._failed(operation)
            self.clock.sleep(float(polled.headers.get("Retry-After", "1")))

    def _failed(self, operation: Json) -> ClientError:
        error = operation.get("error") or {}
        return ClientError(
            status=0,
            service_code=str(error.get("code", operation["status"])),
            message=error.get("message", f"the operation ended as {operation['status']}"),
            service_advice="Look at the job for details: vmkeep job show " + str(operation.get("name", "")),
        )

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: Json | None = None,
        query: dict[str, str] | None = None,
        timeout: httpx.Timeout = _TIMEOUT,
    ) -> httpx.Response:
        versioned = None if "api-version=" in path else {"api-version": API_VERSION, **(query or {})}
        for attempt in (1, 2):
            headers = {"Authorization": f"Bearer {self._bearer()}"}
            if self._host:
                headers["Host"] = self._host
                path = httpx.URL(path).raw_path.decode()
            response = self._send(method, path, headers=headers, params=versioned, json=body, timeout=timeout)
            if response.status_code != _UNAUTHORIZED or attempt == 2:  # noqa: PLR2004 - the last attempt
                break
            self._token = ""
        if response.is_error:
            raise _refused(response)
        return response

    def _bearer(self) -> str:
        if not self._token or self.clock.monotonic() >= self._token_ends:
            known = self.credentials
            form = {
                "grant_type": "client_credentials",
                "client_id": known.client_id,
                "client_secret": known.client_secret,
                "scope": f"{known.url}/.default",
            }
            response = self._send("POST", f"/{known.tenant}/oauth2/v2.0/token", data=form)
            if response.is_error:
                raise _refused(response)
            answer = self._json(response)
            self._token = str(answer["access_token"])
            self._token_ends = self.clock.monotonic() + max(int(answer["expires_in"]) - _EARLY_S, 0)
        return self._token

    def _send(self, method: str, path: str, **options: Any) -> httpx.Response:  # httpx's own options
        try:
            return self._http.request(method, path, **options)
        except httpx.TransportError as error:
            raise ServiceUnreachable(url=self.credentials.url, why=str(error) or repr(error)) from error

    def _json(self, response: httpx.Response) -> Json:
        if not response.content:
            return {}
        try:
            answer = response.json()
        except ValueError as error:
            raise BadAnswer(url=str(response.url), why="it is not JSON") from error
        if not isinstance(answer, dict):
            raise BadAnswer(url=str(response.url), why="it is not a JSON object")
        return answer


def _refused(response: httpx.Response) -> ClientError:
    """Return the service's error: ARM's envelope, or OAuth2's form."""
    try:
        content = response.json()
        error = content["error"]
    except (ValueError, KeyError, TypeError):
        content, error = {}, {}
    if isinstance(error, str):
        error = {"code": error, "message": content.get("error_description", error)}
    return ClientError(
        status=response.status_code,
        service_code=error.get("code", f"HTTP {response.status_code}"),
        message=error.get("message")
        or f"the service answered {response.status_code} {response.reason_phrase}",
        service_advice=" ".join(error.get("recommendations") or []),
        details=error,
    )
