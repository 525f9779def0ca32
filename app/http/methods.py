"""A wrong method is answered with all that the path takes, not only with those of the first route that matched it."""

import re
from functools import cache

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.routing import compile_path

from app.errors import MethodNotAllowed


def install_method_errors(app: FastAPI) -> None:
    """To be called once all routes are there."""

    @cache
    def documented() -> list[tuple[re.Pattern[str], str]]:
        """Every path's pattern and its methods, as the document has them."""
        return [
            (compile_path(path)[0], ", ".join(sorted(method.upper() for method in operations)))
            for path, operations in app.openapi()["paths"].items()
        ]

    async def refuse(request: Request, error: Exception) -> JSONResponse:
        answer = MethodNotAllowed(f'Method "{request.method}" not allowed.')
        allowed = next((methods for pattern, methods in documented() if pattern.match(request.url.path)), None)
        headers = {"Allow": allowed} if allowed is not None else getattr(error, "headers", None)
        return JSONResponse(answer.body(), status_code=answer.status, headers=headers)

    app.add_exception_handler(405, refuse)
