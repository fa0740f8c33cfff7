"""Errors of the key vaults' own API: `{"error": {"code", "message", "innererror": {"code"}}}`."""

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from vmkeep.arm.envelope import crash_response, status_of, validation_error
from vmkeep.arm.errors import BadRequestBody
from vmkeep.base.errors import VmkeepError
from vmkeep.keyvault.errors import (
    BadKeyInput,
    DeletedEntryExists,
    EntryDisabled,
    EntryExists,
    EntryNotFound,
    EntryOutOfTime,
    KeyInUse,
    KeyOperationForbidden,
    KeyVaultNotFound,
    MissingRight,
    PurgeProtected,
)

log = structlog.get_logger()
_FORMS: dict[type[VmkeepError], tuple[int, str, str]] = {
    MissingRight: (403, "Forbidden", "AccessDenied"),
    KeyOperationForbidden: (403, "Forbidden", "KeyOperationForbidden"),
    EntryOutOfTime: (403, "Forbidden", "KeyOutOfTime"),
    PurgeProtected: (403, "Forbidden", "PurgeProtected"),
    EntryExists: (409, "Conflict", ""),
    DeletedEntryExists: (409, "Conflict", "ObjectIsDeletedButRecoverable"),
    KeyInUse: (409, "Conflict", "KeyInUse"),
    KeyVaultNotFound: (404, "VaultNotFound", ""),
    BadKeyInput: (400, "BadParameter", ""),
    BadRequestBody: (400, "BadParameter", ""),
}


def refusal(status: int, code: str, message: str, inner: str = "") -> JSONResponse:
    """Return an answer that says no."""
    error: dict[str, object] = {"code": code, "message": message}
    if inner:
        error["innererror"] = {"code": inner}
    return JSONResponse({"error": error}, status_code=status)


def install(app: FastAPI) -> None:
    """Make the app answer every error in the envelope."""
    app.add_exception_handler(VmkeepError, _known)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _crashed)


def _form(error: VmkeepError) -> tuple[int, str, str]:
    if isinstance(error, EntryNotFound):
        return 404, f"{error.what.split()[-1].capitalize()}NotFound", ""
    if isinstance(error, EntryDisabled):
        return 403, "Forbidden", f"{error.what.capitalize()}Disabled"
    return _FORMS.get(type(error), (status_of(error), error.code, ""))


async def _known(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, VmkeepError)  # noqa: S101 - registered for this class only
    status, code, inner = _form(error)
    log.info("keyvault.request.refused", path=request.url.path, code=error.code, message=str(error))
    return refusal(status, code, f"{error} {error.advice}", inner)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - registered for this class only
    return await _known(request, validation_error(error))


async def _http(_request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for this class only
    return refusal(error.status_code, "BadParameter", "Key vaults here have no such operation.")


async def _crashed(_request: Request, _error: Exception) -> JSONResponse:
    return crash_response()
