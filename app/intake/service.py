"""The intake as a whole: a request's bytes in, its events committed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final, TypeVar

import structlog

from app.clocks import elapsing
from app.errors import BodyTooLarge
from app.intake import timestamps
from app.intake.bodies import Envelope, read_body
from app.intake.budget import Budget, Lease
from app.intake.commits import Commits, open_commits
from app.intake.connecting import ConnectedStore
from app.intake.errors import Busy, Full, NoToken, TooSlow
from app.intake.events import parse_event
from app.intake.incoming import Context, Incoming
from app.intake.metrics import REQUESTS_TURNED_AWAY
from app.intake.problems import Code, Problem
from app.intake.tokens import Tokens
from app.runtime import Runtime
from app.settings import Settings
from app.settings.intake import EVENT_OVERHEAD

REQUEST: Final = 16 * 1024
"""Bytes that a request takes beside its body: its task, its connection's buffers."""
IN_THREAD: Final = 128 * 1024
"""Bytes. A body that is read in some milliseconds is read at once; with a larger one, other requests would wait."""
TOLD: Final = 100
"""Events of one request of which it is put on record what is wrong; of the others only how many they are."""

T = TypeVar("T")
log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sent:
    """A request. ``token`` and ``sent_at`` are those of its query, for which its body may have its own."""

    body: AsyncIterator[bytes]
    encoding: str
    token: str | None = None
    sent_at: str | None = None


class Intake:
    def __init__(self, commits: Commits, tokens: Tokens, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._commits = commits
        self._tokens = tokens
        self._settings = settings
        self._clock = clock
        self.budget = Budget(settings.intake_queue_bytes)

    async def take(self, sent: Sent) -> None:
        """Return once every event of the request is committed that can be, and what is wrong with the others.

        :raises app.errors.ApiError: when none of them can be counted on.
        """
        try:
            with self.budget.lease() as lease:
                await self._take(sent, lease)
        except Busy as busy:
            REQUESTS_TURNED_AWAY.labels(type(busy).__name__).inc()
            raise

    async def _take(self, sent: Sent, lease: Lease) -> None:
        events, problems, size = await self._events(sent, lease)
        if problems:
            codes = sorted({problem.code.value for problem in problems})
            log.warning("events with something wrong", problems=len(problems), codes=codes)
        if events or problems:
            await self._commits.submit(events, problems, size)

    async def _events(self, sent: Sent, lease: Lease) -> tuple[Sequence[Incoming], Sequence[Problem], int]:
        """What is to be stored, and the bytes of its text. The request itself is not kept any longer."""
        body = await self._receive(sent, lease)
        now = self._clock()
        envelope = await _aside(len(body), lambda: self._read(body, sent, lease))
        lease.hold(REQUEST + envelope.size + len(envelope.events) * EVENT_OVERHEAD)
        token = envelope.token or sent.token
        if token is None:
            raise NoToken
        project_id = await self._tokens.project_id(token)
        moment = timestamps.sent_at(envelope.sent_at or sent.sent_at)
        context = Context(project_id, token, now, moment, self._settings.intake_max_event_bytes)
        return *await _aside(envelope.size, lambda: _parse(envelope, context)), envelope.size

    async def _receive(self, sent: Sent, lease: Lease) -> bytes:
        """:raises app.intake.errors.Full: when there is no room; but not before all of it has come, for many clients
        read no answer while they send."""
        pieces: list[bytes] = []
        try:
            async with asyncio.timeout(self._settings.intake_receive_timeout.total_seconds()):
                try:
                    lease.take(REQUEST)
                    async for piece in sent.body:
                        lease.take(len(piece))
                        pieces.append(piece)
                except Full:
                    pieces.clear()
                    lease.hold(0)
                    async for _ in sent.body:
                        pass
                    raise
        except TimeoutError:
            raise TooSlow from None
        lease.take(sum(map(len, pieces)) if len(pieces) > 1 else 0)
        return b"".join(pieces)

    def _read(self, body: bytes, sent: Sent, lease: Lease) -> Envelope:
        settings = self._settings
        if len(body) > settings.intake_max_body_bytes:
            raise BodyTooLarge(f"The request body is larger than {settings.intake_max_body_bytes} bytes.")
        return read_body(body, sent.encoding, settings.intake_max_body_bytes, settings.intake_max_events, lease.take)


async def _aside(size: int, work: Callable[[], T]) -> T:
    return await asyncio.to_thread(work) if size > IN_THREAD else work()


def _parse(envelope: Envelope, context: Context) -> tuple[Sequence[Incoming], Sequence[Problem]]:
    events: list[Incoming] = []
    problems: list[Problem] = []
    untold = 0
    for raw in envelope.events:
        event, found = parse_event(raw, context)
        if event is not None:
            events.append(event)
        if len(problems) < TOLD:
            problems.extend(found)
        else:
            untold += len(found)
    if untold:
        more = f"{untold} more events of the same request."
        problems.append(Problem(context.project_id, Code.MORE, more, count=untold))
    return events, problems


@asynccontextmanager
async def open_intake(runtime: Runtime) -> AsyncIterator[Intake]:
    """Connects when the first events come. Once the block is left, everything taken is committed."""
    settings = runtime.settings
    tokens = Tokens(runtime.sessions, settings.intake_token_ttl, elapsing)
    async with open_commits(lambda: ConnectedStore(settings), settings) as commits:
        yield Intake(commits, tokens, settings, runtime.clock)
