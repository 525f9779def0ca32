"""Request bodies are bounded before anything reads them."""

from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import BodyTooLarge


class BodyLimit:
    """ASGI middleware: refuses what is announced as too large, and counts what arrives unannounced.

    ``max_bytes`` of a path.
    """

    def __init__(self, app: ASGIApp, max_bytes: Callable[[str], int]) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        most = self._max_bytes(scope["path"])
        refused = BodyTooLarge(f"The request body is larger than {most} bytes.")
        if _announced(scope) > most:
            await JSONResponse(refused.body(), refused.status)(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > most:
                # The one exception that the framework lets through from where it reads a body.
                raise HTTPException(refused.status, refused.detail)
            return message

        await self._app(scope, counted, send)


def _announced(scope: Scope) -> int:
    lengths = [value for name, value in scope["headers"] if name == b"content-length"]
    # More digits than any body has bytes would only be costly to read.
    return int(lengths[0][:20]) if lengths and lengths[0].isdigit() else 0
