"""Sends a request to the API of the key vault that its host name names, or to ARM's."""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from vmkeep.arm.errors import AuthenticationFailed
from vmkeep.arm.identity.guard import read_bearer
from vmkeep.arm.identity.tokens import TokenIssuer
from vmkeep.arm.keyvault.addresses import split_host
from vmkeep.arm.keyvault.envelope import refusal


class KeyVaultHosts:
    """ASGI middleware: key vaults have host names of their own, everything else is ARM's."""

    def __init__(self, arm: ASGIApp, key_vaults: ASGIApp) -> None:
        self._arm = arm
        self._key_vaults = key_vaults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        found = split_host(Request(scope).headers.get("host", "")) if scope["type"] == "http" else None
        if found is None:
            await self._arm(scope, receive, send)
            return
        path = "/" + "/".join(part for part in scope["path"].split("/") if part)
        named = {**scope, "path": path, "raw_path": path.encode(), "key_vault": found[0]}
        await self._key_vaults(named, receive, send)


class Challenge:
    """ASGI middleware: without a valid token, the answer says where tokens for key vaults are had.

    Azure's clients send their first request without token and body and wait for this.
    """

    def __init__(self, app: ASGIApp, tokens: TokenIssuer) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http":
            request = Request(scope)
            try:
                scope["client_id"] = self._tokens.verify(read_bearer(request))
            except AuthenticationFailed as error:
                response = refusal(401, "Unauthorized", f"AKV10000: {error}")
                response.headers["WWW-Authenticate"] = self._challenge(request)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _challenge(self, request: Request) -> str:
        _, _, below = request.base_url.netloc.partition(".vault.")
        return (
            f'Bearer authorization="https://{below}/{self._tokens.tenant}", resource="https://vault.{below}"'
        )
