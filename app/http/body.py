"""Bodies are read as bytes, and checked where what they are checked against is known.

The framework would read and check a body before any service runs. Here the caller's credentials, scope and project
come first (the contract's section 1.2), then the export in the path, and only then the body, which an update checks
together with what is stored. Whatever type of content is announced, the body is JSON.
"""

import json
from collections.abc import Callable, Coroutine
from typing import Any, Generic, NoReturn, TypeVar, get_args

from fastapi import Request, Response
from fastapi.routing import APIRoute
from pydantic import BaseModel, GetCoreSchemaHandler, ValidationError
from pydantic_core import CoreSchema, core_schema

from app.errors import MalformedRequest
from app.http.validation import first_error

M = TypeVar("M", bound=BaseModel)


class Draft(Generic[M]):
    """A body of the model ``M`` that has not been looked at yet. Documented like ``M`` itself."""

    def __init__(self, model: type[M], data: bytes) -> None:
        self._model = model
        self._data = data

    def check(self, context: object = None) -> M:
        """The body, checked; ``context`` is what the model's validators want to know.

        :raises MalformedRequest: when it is no JSON.
        :raises ValidationFailed: for the first field that is wrong.
        """
        try:
            document = json.loads(self._data, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            raise MalformedRequest(f"JSON parse error - {error}") from None
        try:
            return self._model.model_validate(document, context=context)
        except ValidationError as error:
            raise first_error(error.errors(include_url=False)) from None

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        [model] = get_args(source)
        return core_schema.no_info_wrap_validator_function(
            lambda data, _: cls(model, data), handler.generate_schema(model)
        )


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


class _BytesRequest(Request):
    """To the framework, every body is its bytes; none at all is an empty object."""

    async def body(self) -> bytes:
        return await super().body() or b"{}"

    async def json(self) -> bytes:
        return await self.body()


class BodyRoute(APIRoute):
    """The class of routes that take drafts."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_bytes(request: Request) -> Response:
            return await handle(_BytesRequest(request.scope, request.receive))

        return handle_bytes
