"""Every error answer has one body, whatever went wrong (the contract's section 1.3)."""

from collections.abc import Mapping
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from app.db.engine import DATABASE_ERRORS
from app.errors import ApiError, BodyTooLarge, MalformedRequest, MethodNotAllowed, NotFound, RateLimited, Unavailable
from app.http.validation import first_error

log = structlog.get_logger(__name__)

PASSING_STATES = ("08", "40", "53", "57")
"""Classes of SQLSTATE that another attempt may not meet: connection, deadlock, resources, and an operator's doing."""


class ErrorBody(BaseModel):
    """What went wrong, once."""

    type: str
    code: str
    detail: str
    attr: str | None = Field(description="The field that is wrong, levels joined by two underscores.")


DESCRIPTIONS = {
    400: "A field is wrong, or the body is no JSON.",
    401: "No live API key was sent.",
    403: "The key may not do this, or not here.",
    404: "There is no such thing among what the key may see.",
    413: "The body is too large.",
    429: "Too many requests of this key, or too many of these at once.",
    503: "The database does not answer just now.",
}


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Error answers of a route, for its documentation."""
    documented: dict[int | str, dict[str, Any]] = {
        status: {"model": ErrorBody, "description": DESCRIPTIONS[status]}
        for status in sorted({400, 401, 403, 404, 429, 503, *statuses})
    }
    return {**documented, "default": {"model": ErrorBody, "description": "Any other error."}}


def install_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    for kind in DATABASE_ERRORS:
        app.add_exception_handler(kind, _database_error)
    app.add_exception_handler(Exception, _unexpected)


def _answer(error: ApiError, headers: Mapping[str, str] | None = None) -> JSONResponse:
    if error.status == 401:
        headers = {"WWW-Authenticate": "Bearer"}
    if isinstance(error, RateLimited):
        headers = {"Retry-After": str(error.retry_after)}
    # What is repeated from the request may hold half a character, which has no bytes.
    body = {**error.body(), "detail": error.detail.encode("utf-8", "replace").decode()}
    return JSONResponse(body, status_code=error.status, headers=headers)


async def _api_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return _answer(error)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    """A parameter of the path or the query; bodies are checked by services."""
    assert isinstance(error, RequestValidationError)
    return _answer(first_error([{**one, "loc": one["loc"][1:]} for one in error.errors()]))


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    match error.status_code:
        case 404:
            return _answer(NotFound())
        case 405:
            return _answer(MethodNotAllowed(f'Method "{request.method}" not allowed.'), error.headers)
        case 413:
            return _answer(BodyTooLarge(error.detail))
        case status:
            body = MalformedRequest(str(error.detail)).body()
            return JSONResponse(body, status_code=status, headers=error.headers)


async def _database_error(request: Request, error: Exception) -> JSONResponse:
    if not _may_pass(error):
        return await _unexpected(request, error)
    log.warning("database does not answer", path=request.url.path, reason=type(error).__name__)
    return _answer(Unavailable())


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("unexpected error in a request", path=request.url.path, exc_info=error)
    return _answer(ApiError())


def _may_pass(error: Exception) -> bool:
    """Whether the database is away or busy; a wrong statement is a bug of ours."""
    if isinstance(error, OSError | PoolTimeout | OperationalError | InterfaceError):
        return True
    if isinstance(error, DBAPIError) and (error.connection_invalidated or isinstance(error.orig, OSError)):
        return True
    # The driver's own errors come wrapped, except where a connection is being made.
    state = getattr(getattr(error, "orig", error), "sqlstate", None)
    return isinstance(state, str) and state.startswith(PASSING_STATES)
