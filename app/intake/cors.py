"""Browsers may send events from any site: the token is in every page anyway, and no cookie counts for anything here."""

from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.intake.paths import is_intake

DAY: Final = "86400"


class IntakeCors:
    """ASGI middleware: lets pages of other sites read the answers of the intake's routes, and of no others."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not is_intake(scope["path"]):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        origin = headers.get("origin")
        if origin is None:
            await self._app(scope, receive, send)
            return
        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            preflight = Response(status_code=204, headers=_allowing(origin))
            preflight.headers["Access-Control-Allow-Methods"] = "GET, POST"
            preflight.headers["Access-Control-Allow-Headers"] = headers.get("access-control-request-headers", "")
            preflight.headers["Access-Control-Max-Age"] = DAY
            await preflight(scope, receive, send)
            return

        async def allowing(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_allowing(origin))
            await send(message)

        await self._app(scope, receive, allowing)


def _allowing(origin: str) -> dict[str, str]:
    # Some clients ask with credentials, and read no answer that allows just anybody.
    return {
        "Access-Control-Allow-Origin": origin,
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Expose-Headers": "Retry-After",
        "Vary": "Origin",
    }
