"""Nothing but discovery and the token endpoint is answered without a valid token."""

import re

from fastapi import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from vmkeep.arm.envelope import error_response
from vmkeep.arm.errors import AuthenticationFailed
from vmkeep.arm.identity.tokens import TokenIssuer

PUBLIC = re.compile(
    r"/metadata/endpoints"
    r"|/[^/]+(/v2\.0)?/\.well-known/openid-configuration"
    r"|/[^/]+/discovery/(v2\.0/)?keys"
    r"|/[^/]+/oauth2/(v2\.0/)?token",
    re.IGNORECASE,
)


class TokenGuard:
    """ASGI middleware: refuses by default, so that no route can forget to ask."""

    def __init__(self, app: ASGIApp, tokens: TokenIssuer) -> None:
        self._app = app
        self._tokens = tokens

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] == "http" and not PUBLIC.fullmatch(scope["path"]):
            request = Request(scope)
            try:
                scope["client_id"] = self._tokens.verify(read_bearer(request))
            except AuthenticationFailed as error:
                await self._refuse(request, error)(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _refuse(self, request: Request, error: AuthenticationFailed) -> ASGIApp:
        response = error_response(error)
        where = f"{request.base_url}{self._tokens.tenant}"
        response.headers["WWW-Authenticate"] = (
            f'Bearer authorization_uri="{where}", error="invalid_token", resource="{request.base_url}"'
        )
        return response


def read_bearer(request: Request) -> str:
    """Return the request's token; raises AuthenticationFailed."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise AuthenticationFailed(why="The 'Authorization' header is missing or has no bearer token.")
    return token.strip()
