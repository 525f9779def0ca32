"""An S3 store in trouble: whose requests fail, which ones, how often, and how. Everything else reaches the server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, TypeAlias, cast

from tests.destinations.s3_proxy import Fate, Reply, Request, S3Proxy, Verdict, error, serving

FOR_EVER: Final = 10**9
PIECE: Final = 16 * 1024
"""Bytes that a slow connection hands on at a time."""


class Trouble(Enum):
    """What goes wrong with a request, other than an answer of the proxy's own."""

    RESET = "the connection ends before the server sees the request"
    LOST = "the server does what it was asked, and the answer is lost"
    TRUNCATED = "the server does what it was asked, and the connection ends in the middle of its answer"
    STALLED = "the server does what it was asked, and its answer never comes"


Fault: TypeAlias = Trouble | Reply

INTERNAL: Final = error(500, "InternalError")
SLOW_DOWN: Final = error(503, "SlowDown")
TOO_MANY: Final = error(429, "TooManyRequests")
ERROR_IN_OK: Final = error(200, "InternalError")
"""Completing takes long, so stores begin their answer before they know how it ends."""
DENIED: Final = error(403, "AccessDenied")
UNKNOWN_KEY: Final = error(403, "InvalidAccessKeyId")
EXPIRED: Final = error(400, "ExpiredToken")


@dataclass
class Rule:
    """The first ``times`` requests of one kind fail: of an operation, or with None of every one; ``part``: for the part
    with that number; ``ending``: with keys that end so."""

    operation: str | None
    fault: Fault
    times: int = FOR_EVER
    part: int | None = None
    ending: str = ""
    met: int = 0

    def matches(self, request: Request) -> bool:
        return (
            self.met < self.times
            and self.operation in (None, request.operation)
            and (self.part is None or self.part == request.part)
            and request.path.endswith(self.ending)
        )


@dataclass
class Line:
    """One client's connection, as the proxy's server writes to it and reads from it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    proxy: "TroubledProxy"
    fault: Trouble | None = None
    target: str = ""
    """Path and query."""

    async def readuntil(self, separator: bytes) -> bytes:
        head = await self.reader.readuntil(separator)
        self.target = head.split(b" ", 2)[1].decode()
        return head

    async def readexactly(self, size: int) -> bytes:
        """Slowly, if the path is slow: what is not read is held back at the client, for buffers are small."""
        gathered = bytearray()
        while len(gathered) < size:
            gathered += await self.reader.readexactly(min(PIECE, size - len(gathered)))
            await self.proxy.hold_back(self.target)
        return bytes(gathered)

    def write(self, data: bytes) -> None:
        if self.fault is Trouble.TRUNCATED:
            self.writer.write(data[: len(data) // 2])
        elif self.fault is None:
            self.writer.write(data)

    async def drain(self) -> None:
        await self.writer.drain()
        if self.fault is Trouble.STALLED:
            await self.reader.read()  # until the client has had enough

    def close(self) -> None:
        self.writer.close()

    async def wait_closed(self) -> None:
        await self.writer.wait_closed()


_line: ContextVar[Line] = ContextVar("line")


@dataclass
class Place:
    """Part of the store, by a word that its requests hold in their paths or queries: a prefix."""

    word: str
    rules: list[Rule] = field(default_factory=list)
    rate: int | None = None
    """Bytes a second that every connection of this place takes; None: as many as there are."""
    good_parts: int = 0
    """So many parts are taken before any rule holds."""

    def fault_of(self, request: Request) -> Fault | None:
        if self.good_parts:
            self.good_parts -= request.operation == "UploadPart"
            return None
        for rule in self.rules:
            if rule.matches(request):
                rule.met += 1
                return rule.fault
        return None

    def mend(self) -> None:
        self.rules.clear()
        self.rate = None


class TroubledProxy(S3Proxy):
    def __init__(self, target: str) -> None:
        super().__init__(target)
        self._places: list[Place] = []
        self.judge = self._judge

    def place(self, word: str, *rules: Rule, rate: int | None = None, good_parts: int = 0) -> Place:
        place = Place(word, list(rules), rate, good_parts)
        self._places.append(place)
        return place

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        line: Any = Line(reader, writer, self)
        _line.set(line)
        await super().serve(cast("asyncio.StreamReader", line), cast("asyncio.StreamWriter", line))

    async def hold_back(self, target: str) -> None:
        """Take as long as a piece takes at the place's rate."""
        place = self._place_of(target)
        if place is not None and place.rate is not None:
            await asyncio.sleep(PIECE / place.rate)

    def _place_of(self, target: str) -> Place | None:
        return next((place for place in self._places if place.word in target), None)

    async def _judge(self, request: Request) -> Verdict:
        self.seen.clear()  # whole bodies
        line = _line.get()
        place = self._place_of(line.target)
        fault = place.fault_of(request) if place is not None else None
        match fault:
            case Trouble.RESET:
                return Fate.DROP_REQUEST
            case Trouble.LOST:
                return Fate.DROP_ANSWER
            case Trouble.TRUNCATED | Trouble.STALLED:
                line.fault = fault
                return None
            case _:
                return fault


@asynccontextmanager
async def open_trouble(target: str) -> AsyncIterator[TroubledProxy]:
    """In front of the S3 server at ``target``."""
    async with serving(TroubledProxy(target)) as proxy:
        yield proxy
