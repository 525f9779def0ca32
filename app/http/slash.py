"""The trailing slash of an API route may be left out, on every method, without a redirect."""

from starlette.types import ASGIApp, Receive, Scope, Send

API = "/api/"


class OptionalSlash:
    """ASGI middleware: routes are declared with the slash, and a path that lacks it gets it.

    A redirect instead would make clients repeat a body, or turn a POST into a GET.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(API) and not scope["path"].endswith("/"):
            scope = {**scope, "path": scope["path"] + "/"}
            if scope.get("raw_path"):
                scope["raw_path"] += b"/"
        await self._app(scope, receive, send)
