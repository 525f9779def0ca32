"""Request bodies are bounded before anything reads them."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import BodyTooLarge


class BodyLimit:
    """ASGI middleware: counts what arrives, announced or not.

    The error is raised where the body is read, so it is answered like any other.
    """

    def __init__(self, app: ASGIApp, max_bytes: int) -> None:
        self._app = app
        self._max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self._max_bytes:
                raise BodyTooLarge(f"The request body is larger than {self._max_bytes} bytes.")
            return message

        await self._app(scope, counted, send)
