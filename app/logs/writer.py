"""Lines of runs on their way to Postgres: kept in memory for a moment, stored many at a time.

A run must be neither slowed nor failed by its log. So writing only appends to a queue; when that is full, or the
database stays away, lines are dropped and counted.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import datetime

import structlog

from app.db.engine import DATABASE_ERRORS, Sessions
from app.logs.lines import Line
from app.logs.repository import LogRepository
from app.settings import LogSettings
from app.telemetry import LOG_LINES_DROPPED
from app.timeouts import insisting

BATCH = 500
"""Lines stored by one statement; so many are not kept waiting for more."""
TRIES = 3
"""How often a batch is tried before it is dropped, so that lines that cannot be stored do not hold up all others."""
FLUSH_LIMIT = 5.0
"""Seconds after which a database that says nothing has not stored the batch."""

log = structlog.get_logger(__name__)


class LogWriter:
    def __init__(self, sessions: Sessions, clock: Callable[[], datetime], settings: LogSettings) -> None:
        self._sessions = sessions
        self._clock = clock
        self._size = settings.log_queue_size
        self._interval = settings.log_flush_interval.total_seconds()
        self._lines: deque[tuple[datetime, Line]] = deque()
        self._some = asyncio.Event()
        self._full = asyncio.Event()
        self._stopped = asyncio.Event()
        self._tries = 0

    def write(self, line: Line) -> None:
        """Keep a line for the next batch; neither waits nor fails."""
        if len(self._lines) >= self._size:
            LOG_LINES_DROPPED.inc()
            return
        self._lines.append((self._clock(), line))
        self._some.set()
        if len(self._lines) >= BATCH:
            self._full.set()

    async def serve(self) -> None:
        """Store what is written, until stopped. Not to be cancelled: a batch might be stored, and then be so again."""
        while not self._stopped.is_set():
            await self._some.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._interval):
                    # A failed batch waits even if there are many more lines: the database is given some time.
                    await (self._stopped if self._tries else self._full).wait()
            await self.flush()

    def stop(self) -> None:
        """Have :meth:`serve` end soon."""
        for event in (self._stopped, self._some, self._full):
            event.set()

    async def flush(self) -> bool:
        """Store one batch. False: it was not stored, and is dropped if this was its last try."""
        batch = [self._lines[place] for place in range(min(BATCH, len(self._lines)))]
        if not batch:
            self._settle()
            return True
        try:
            async with insisting(FLUSH_LIMIT), self._sessions.begin() as session:
                await LogRepository(session).add(batch)
        except DATABASE_ERRORS as error:
            self._tries += 1
            log.warning("log lines not stored", lines=len(batch), reason=type(error).__name__)
        except Exception:
            self._tries = TRIES
            log.exception("log lines not stored", lines=len(batch))
        else:
            self._tries = 0
            self._forget(len(batch))
            return True
        if self._tries >= TRIES:
            self._tries = 0
            LOG_LINES_DROPPED.inc(len(batch))
            self._forget(len(batch))
        return False

    async def drain(self) -> None:
        """Store all there is, at the end; what the database does not take at once is dropped."""
        while self._lines:
            if not await self.flush():
                LOG_LINES_DROPPED.inc(len(self._lines))
                self._lines.clear()

    def _forget(self, count: int) -> None:
        for _ in range(count):
            self._lines.popleft()
        self._settle()

    def _settle(self) -> None:
        if not self._lines:
            self._some.clear()
        if len(self._lines) < BATCH:
            self._full.clear()


@asynccontextmanager
async def open_log_writer(
    sessions: Sessions, clock: Callable[[], datetime], settings: LogSettings
) -> AsyncIterator[LogWriter]:
    """A writer at work; once the block is left, everything written has been stored or dropped."""
    writer = LogWriter(sessions, clock, settings)
    serving = asyncio.create_task(writer.serve())
    try:
        yield writer
    finally:
        writer.stop()
        await serving
        await writer.drain()
