"""Errors on the wire: ARM's envelope and the HTTP status that fits.

`{"error": {"code", "message", "details", "recommendations", "additionalInfo"}}`. The advice stands both in `details`,
which `az` prints, and in `recommendations`, where Azure Backup's long form has it.
"""

import structlog
from fastapi import FastAPI, Request
from fastapi.encoders import jsonable_encoder
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from vmkeep.arm.errors import AuthenticationFailed, BadRequestBody, InvalidClient, TooManyFailures
from vmkeep.arm.members import Json
from vmkeep.base.errors import Retry, VmkeepError

log = structlog.get_logger()

_STATUS = {AuthenticationFailed.code: 401, InvalidClient.code: 401, TooManyFailures.code: 429}
_ENDINGS = {
    404: ("NotFound",),
    409: (
        "InUse",
        "Exists",
        "NotEmpty",
        "InProgress",
        "Taken",
        "DifferentVault",
        "NotActivelyProtected",
        "ScopeLocked",
        "OnlyCopyInCollection",
    ),
}


def status_of(error: VmkeepError) -> int:
    """Return the HTTP status that says what kind of error this is."""
    if error.code in _STATUS:
        return _STATUS[error.code]
    for status, endings in _ENDINGS.items():
        if error.code.endswith(endings) or type(error).__name__.endswith(endings):
            return status
    return 503 if error.retry is Retry.LATER else 400


def body_of(error: VmkeepError) -> Json:
    """Return the error as ARM's envelope."""
    advice = error.advice
    return {
        "error": {
            "code": error.code,
            "message": str(error),
            "details": [{"code": "Recommendation", "message": advice}] if advice else [],
            "recommendations": [advice] if advice else [],
            "additionalInfo": [{"type": "facts", "info": jsonable_encoder(error.facts())}],
        }
    }


def error_response(error: VmkeepError) -> JSONResponse:
    """Return the whole answer for an error."""
    return JSONResponse(body_of(error), status_code=status_of(error))


def crash_response() -> JSONResponse:
    """Return the answer for an exception nobody expected: where to look, and nothing of what happened."""
    request_id = structlog.contextvars.get_contextvars().get("request", "")
    message = (
        f"The service met an error it does not know. Its log has the details under request {request_id}."
    )
    return JSONResponse(
        {"error": {"code": "InternalServerError", "message": message, "details": []}}, status_code=500
    )


def validation_error(error: RequestValidationError) -> BadRequestBody:
    """Return what is wrong with a request, and nothing of what was sent."""
    found = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors())
    return BadRequestBody(why=found or "it is not JSON")


def install(app: FastAPI) -> None:
    """Make the app answer every error in the envelope."""
    app.add_exception_handler(VmkeepError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _crashed)


async def _known(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, VmkeepError)  # noqa: S101 - registered for this class only
    log.info("arm.request.refused", path=request.url.path, code=error.code, message=str(error))
    return error_response(error)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class only
    return await _known(request, validation_error(error))


async def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    codes = {404: "InvalidResourceType", 405: "MethodNotAllowed", 413: "RequestContentTooLarge"}
    code = codes.get(error.status_code, "BadRequest")
    message = "This service has no such route." if error.status_code == 404 else error.detail  # noqa: PLR2004 - Not Found
    return JSONResponse(
        {"error": {"code": code, "message": message, "details": []}},
        status_code=error.status_code,
        headers=dict(error.headers or {}),
    )


async def _crashed(_request: Request, _error: Exception) -> JSONResponse:
    return crash_response()
