"""Every error answer has one body, whatever went wrong (the contract's section 1.3). Only the first error is told."""

from collections.abc import Mapping, Sequence
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from app.errors import (
    ApiError,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    Unavailable,
    ValidationFailed,
)
from app.http.access import authenticate_request

log = structlog.get_logger(__name__)

DATETIME_TEXT = (
    "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."
)

TEXTS: Mapping[str, tuple[str, str]] = {
    "missing": ("required", "This field is required."),
    "blank": ("blank", "This field may not be blank."),
    "string_too_short": ("blank", "This field may not be blank."),
    "string_type": ("invalid_input", "Not a valid string."),
    "bool_type": ("invalid_input", "Must be a valid boolean."),
    "bool_parsing": ("invalid_input", "Must be a valid boolean."),
    "int_type": ("invalid_input", "A valid integer is required."),
    "int_parsing": ("invalid_input", "A valid integer is required."),
    "int_from_float": ("invalid_input", "A valid integer is required."),
    "datetime_type": ("invalid_input", DATETIME_TEXT),
    "datetime_parsing": ("invalid_input", DATETIME_TEXT),
    "datetime_from_date_parsing": ("invalid_input", DATETIME_TEXT),
}
"""Pydantic's error type to the contract's code and text."""


class ErrorBody(BaseModel):
    """What went wrong, once."""

    type: str
    code: str
    detail: str
    attr: str | None


def responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Error answers of a route, for its documentation."""
    return {status: {"model": ErrorBody} for status in (400, 401, 403, 404, 429, 503, *statuses)}


def install_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http_error)
    for unreachable in (OperationalError, InterfaceError, DBAPIError, PoolTimeout, OSError):
        app.add_exception_handler(unreachable, _unreachable)
    app.add_exception_handler(Exception, _unexpected)


def first_error(errors: Sequence[Mapping[str, Any]]) -> ApiError:
    """The first of pydantic's errors, in the contract's words."""
    error = errors[0]
    kind, where = error["type"], [str(part) for part in error["loc"][1:]]
    attr = "__".join(where) or None
    if kind == "json_invalid":
        return MalformedRequest(f"JSON parse error - {error.get('ctx', {}).get('error', 'invalid JSON')}")
    given = error.get("input")
    if given is None and kind != "missing":
        return ValidationFailed("This field may not be null.", code="null", attr=attr)
    if kind in TEXTS:
        code, text = TEXTS[kind]
        return ValidationFailed(text, code=code, attr=attr)
    if kind in ("enum", "literal_error", "invalid_choice"):
        return ValidationFailed(f'"{given}" is not a valid choice.', code="invalid_choice", attr=attr)
    if kind == "greater_than_equal":
        least = error["ctx"]["ge"]
        text = f"Ensure this value is greater than or equal to {least}."
        return ValidationFailed(text, code="min_value", attr=attr)
    if kind == "less_than_equal":
        text = f"Ensure this value is less than or equal to {error['ctx']['le']}."
        return ValidationFailed(text, code="max_value", attr=attr)
    if kind in ("dict_type", "model_type", "model_attributes_type"):
        return ValidationFailed(f"Invalid data. Expected a dictionary, but got {type(given).__name__}.", attr=attr)
    if kind == "list_type":
        text = f'Expected a list of items but got type "{type(given).__name__}".'
        return ValidationFailed(text, code="not_a_list", attr=attr)
    return ValidationFailed(str(error["msg"]), attr=attr)


def _answer(error: ApiError) -> JSONResponse:
    headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else None
    return JSONResponse(error.body(), status_code=error.status, headers=headers)


async def _api_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    return _answer(error)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    answer = first_error(error.errors())
    if isinstance(answer, MalformedRequest):
        # JSON is read before any dependency runs; who may not speak at all is still told that first.
        try:
            await authenticate_request(request)
        except ApiError as refused:
            return _answer(refused)
    return _answer(answer)


async def _http_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _answer(NotFound())
    if error.status_code == 405:
        return _answer(MethodNotAllowed(f'Method "{request.method}" not allowed.'))
    answer = MalformedRequest(str(error.detail))
    return JSONResponse(answer.body(), status_code=error.status_code, headers=error.headers)


async def _unreachable(request: Request, error: Exception) -> JSONResponse:
    if isinstance(error, DBAPIError) and not _is_connection_error(error):
        return await _unexpected(request, error)
    log.warning("database does not answer", path=request.url.path, reason=type(error).__name__)
    return _answer(Unavailable())


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    log.error("unexpected error in a request", path=request.url.path, exc_info=error)
    return _answer(ApiError())


def _is_connection_error(error: DBAPIError) -> bool:
    """asyncpg's connection errors may come wrapped in the base class; a wrong statement is a bug of ours."""
    known = isinstance(error, OperationalError | InterfaceError)
    return known or error.connection_invalidated or isinstance(error.orig, OSError)
