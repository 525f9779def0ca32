"""A proxy in front of the S3 server that knows S3's requests, so that a test can say which one fails, and how."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias, TypeVar
from urllib.parse import parse_qs, urlsplit

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def operation(self) -> str:
        """S3's name for it, or that of STS."""
        if self.method == "POST" and self.path == "/":
            return self.form["Action"]
        if "uploads" in self.query:
            return "CreateMultipartUpload" if self.method == "POST" else "ListMultipartUploads"
        if "uploadId" in self.query:
            names = {"PUT": "UploadPart", "POST": "CompleteMultipartUpload", "DELETE": "AbortMultipartUpload"}
            return names[self.method]
        if "list-type" in self.query:
            return "ListObjectsV2"
        if "/" not in self.path.strip("/"):
            return {"HEAD": "HeadBucket"}[self.method]
        return {"PUT": "PutObject", "HEAD": "HeadObject", "GET": "GetObject", "DELETE": "DeleteObject"}[self.method]

    @property
    def form(self) -> dict[str, str]:
        """What is asked of STS."""
        return {name: values[-1] for name, values in parse_qs(self.body.decode()).items()}

    @property
    def signed_by(self) -> str:
        """The access key."""
        return self.headers["authorization"].split("Credential=", 1)[1].split("/", 1)[0]

    @property
    def condition(self) -> str | None:
        """On what it is made: ``If-None-Match: *``."""
        for name in ("If-Match", "If-None-Match"):
            if name.lower() in self.headers:
                return f"{name}: {self.headers[name.lower()]}"
        return None

    @property
    def part(self) -> int | None:
        return int(self.query["partNumber"][0]) if "partNumber" in self.query else None


@dataclass(frozen=True)
class Reply:
    """An answer of the proxy's own; the server never sees the request."""

    status: int
    body: str = ""
    headers: tuple[str, ...] = ()


class Fate(Enum):
    DROP_ANSWER = "the server does what it was asked, and nobody hears of it"
    DROP_REQUEST = "the connection ends before the server sees the request"


Verdict: TypeAlias = Reply | Fate | None
"""None: let it through."""


def error(status: int, code: str) -> Reply:
    """An error as S3 answers it, with words in it that must not be passed on."""
    body = f"<Error><Code>{code}</Code><Message>hush: AKIA-SECRET</Message><StringToSign>hush</StringToSign></Error>"
    return Reply(status, body)


async def let_through(_: Request) -> Verdict:
    return None


def ignore(_: Request) -> None:
    pass


def as_it_is(_: Request, answer: bytes) -> bytes:
    return answer


class S3Proxy:
    def __init__(self, target: str) -> None:
        parts = urlsplit(target)
        self._target = (parts.hostname, parts.port)
        self.judge: Callable[[Request], Awaitable[Verdict]] = let_through
        self.answered: Callable[[Request], None] = ignore
        self.alter: Callable[[Request, bytes], bytes] = as_it_is
        self.seen: list[Request] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def operations(self) -> list[str]:
        return [request.operation for request in self.seen]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request per connection."""
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await self._serve(reader, writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        first, *lines = head.rstrip().split("\r\n")
        method, url, _ = first.split(" ")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        if headers.pop("expect", None) is not None:
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        parts = urlsplit(url)
        request = Request(method, parts.path, parse_qs(parts.query, keep_blank_values=True), headers, body)
        self.seen.append(request)
        match await self.judge(request):
            case Reply(status, text, extra):
                more = "".join(f"{header}\r\n" for header in extra)
                start = f"HTTP/1.1 {status} Said\r\nContent-Length: {len(text)}\r\nConnection: close\r\n{more}\r\n"
                writer.write((start + ("" if method == "HEAD" else text)).encode())
            case Fate.DROP_REQUEST:
                return
            case verdict:
                answer = await self._ask(first, {**headers, "connection": "close"}, body)
                if verdict is not Fate.DROP_ANSWER:
                    writer.write(self.alter(request, answer))
        self.answered(request)
        await writer.drain()

    async def _ask(self, first: str, headers: dict[str, str], body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection(*self._target)
        try:
            head = "".join(f"{line}\r\n" for line in (first, *(f"{name}: {text}" for name, text in headers.items())))
            writer.write(head.encode() + b"\r\n" + body)
            return await reader.read()
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def open_proxy(target: str) -> AsyncIterator[S3Proxy]:
    """In front of the S3 server at ``target``."""
    async with serving(S3Proxy(target)) as proxy:
        yield proxy


P = TypeVar("P", bound=S3Proxy)


@asynccontextmanager
async def serving(proxy: P) -> AsyncIterator[P]:
    """A proxy that takes connections, on a port of its own."""
    connections: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(proxy.serve(reader, writer))
        connections.add(connection)
        connection.add_done_callback(connections.discard)

    server = await asyncio.start_server(accept, LOOPBACK, 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for connection in connections:
            connection.cancel()
        await asyncio.gather(*connections, return_exceptions=True)
