"""A proxy in front of Azurite that knows the service's requests, so that a test can say which one fails, and how.

Errors are made of the codes and statuses that the service documents, in its form: the code in a header and in a body.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tests.destinations.azure.azurite import ACCOUNT
from tests.destinations.s3_proxy import Reply, Request, S3Proxy, Verdict, serving

Judge = Callable[[Request], Awaitable[Verdict]]
DETAIL = "The MAC signature found in the HTTP request 'hush' is not the same as any computed signature."


def operation(request: Request) -> str:
    """The service's name for a request."""
    [comp] = request.query.get("comp", [""])
    if "restype" in request.query:
        return "List Blobs" if comp == "list" else "Get Container Properties"
    match request.method, comp:
        case "PUT", "block":
            return "Put Block"
        case "PUT", "blocklist":
            return "Put Block List"
    return {"PUT": "Put Blob", "HEAD": "Get Blob Properties", "GET": "Get Blob", "DELETE": "Delete Blob"}[
        request.method
    ]


def error(status: int, code: str, detail: str = DETAIL) -> Reply:
    """An error as the service answers it, with words in it that must not be passed on."""
    told = f"<Message>hush: {code}</Message><AuthenticationErrorDetail>{detail}</AuthenticationErrorDetail>"
    body = f'<?xml version="1.0" encoding="utf-8"?><Error><Code>{code}</Code>{told}</Error>'
    return Reply(status, body, (f"x-ms-error-code: {code}", "Content-Type: application/xml"))


def failing(name: str, verdict: Verdict, *, times: int = 10**6) -> Judge:
    """A judge that lets a number of requests of one kind fail, and everything else through."""
    failed = 0

    async def judge(request: Request) -> Verdict:
        nonlocal failed
        if operation(request) == name and failed < times:
            failed += 1
            return verdict
        return None

    return judge


def always(verdict: Verdict) -> Judge:
    async def judge(_: Request) -> Verdict:
        return verdict

    return judge


class AzureProxy(S3Proxy):
    """The same proxy; only the names of requests are others."""

    @property
    def endpoint(self) -> str:
        return f"{self.url}/{ACCOUNT}"

    @property
    def operations(self) -> list[str]:
        return [operation(request) for request in self.seen]


@asynccontextmanager
async def open_proxy(target: str) -> AsyncIterator[AzureProxy]:
    async with serving(AzureProxy(target)) as proxy:
        yield proxy
