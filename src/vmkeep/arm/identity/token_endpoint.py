"""The OAuth2 token endpoint: client credentials in, a token out."""

from typing import Annotated

from fastapi import APIRouter, Form
from fastapi.responses import JSONResponse

from vmkeep.arm.envelope import status_of
from vmkeep.arm.errors import InvalidClient, TooManyFailures, UnsupportedGrant
from vmkeep.arm.service import Here

router = APIRouter()


@router.post("/{tenant}/oauth2/v2.0/token")
@router.post("/{tenant}/oauth2/token")
def token(
    here: Here,
    tenant: str,  # noqa: ARG001 - one tenant only
    grant_type: Annotated[str, Form()] = "",
    client_id: Annotated[str, Form()] = "",
    client_secret: Annotated[str, Form()] = "",
) -> JSONResponse:
    """Return a bearer token, or OAuth2's own form of error."""
    if grant_type != "client_credentials":
        return _refused(UnsupportedGrant(grant_type=grant_type))
    try:
        here.clients.verify(client_id, client_secret)
    except (InvalidClient, TooManyFailures) as error:
        return _refused(error)
    lifetime = here.tokens.lifetime_s
    return JSONResponse(
        {
            "token_type": "Bearer",
            "expires_in": lifetime,
            "ext_expires_in": lifetime,
            "access_token": here.tokens.issue(client_id),
        },
        headers={"Cache-Control": "no-store"},
    )


def _refused(error: InvalidClient | TooManyFailures | UnsupportedGrant) -> JSONResponse:
    headers = {"Retry-After": str(error.wait_s)} if isinstance(error, TooManyFailures) else {}
    described = f"{error} {error.advice}"
    return JSONResponse(
        {"error": error.code, "error_description": described, "error_codes": []},
        status_code=status_of(error),
        headers=headers,
    )
