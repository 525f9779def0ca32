"""Group commits: requests that wait at the same time share one transaction, and are answered once it is committed.

A commit costs the store about the same for one event as for thousands. So while one is under way everything else
gathers, and goes with the next.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from time import perf_counter
from typing import Final, Protocol

import structlog

from app.errors import StoreUnavailable
from app.intake import metrics
from app.intake.errors import NotStored
from app.intake.incoming import Incoming
from app.intake.problems import Problem
from app.intake.storing import Written
from app.settings import IntakeSettings

COMMIT_EVENTS: Final = 10_000
COMMIT_BYTES: Final = 16 * 1024 * 1024
"""What one commit takes at most; whichever is reached first. A request's events stay together."""

log = structlog.get_logger(__name__)


class Store(Protocol):
    """One place where events are written; see :class:`app.intake.storing.IntakeStore`."""

    async def write(self, events: Sequence[Incoming], problems: Sequence[Problem]) -> Written: ...
    async def aclose(self) -> None: ...


@dataclass(slots=True, eq=False)
class _Waiting:
    """What one request has sent. ``size`` is in bytes."""

    events: Sequence[Incoming]
    problems: Sequence[Problem]
    size: int
    done: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Commits:
    """Takes what requests have sent, and commits it in groups. How much may wait is its callers' affair."""

    def __init__(self, stores: Sequence[Store], settings: IntakeSettings) -> None:
        self._stores = stores
        self._linger = settings.intake_linger.total_seconds()
        self._limit = settings.intake_commit_timeout.total_seconds()
        self._waiting: deque[_Waiting] = deque()
        self._events = self._bytes = 0
        self._gathering = asyncio.Lock()
        self._some = asyncio.Event()
        self._enough = asyncio.Event()
        self._stopped = False

    async def submit(self, events: Sequence[Incoming], problems: Sequence[Problem], size: int) -> None:
        """Return once all of it is committed.

        :raises NotStored: when it is not in time, or the store went away. Some of it may be stored all the same: it is
            safe to send it again.
        """
        if self._stopped:
            raise NotStored
        waiting = _Waiting(events, problems, size)
        self._waiting.append(waiting)
        self._count(waiting, 1)
        try:
            async with asyncio.timeout(self._limit):
                await waiting.done
        except TimeoutError:
            raise NotStored from None
        finally:
            # Nobody waits for it any more, so it need not be stored, if it is not just being so.
            if not waiting.done.done() or waiting.done.cancelled():
                with suppress(ValueError):
                    self._waiting.remove(waiting)
                    self._count(waiting, -1)

    async def serve(self) -> None:
        """Commit what comes in, until stopped, and then what is left."""
        async with asyncio.TaskGroup() as group:
            for store in self._stores:
                group.create_task(self._serve(store))

    def stop(self) -> None:
        self._stopped = True
        self._some.set()
        self._enough.set()

    async def _serve(self, store: Store) -> None:
        try:
            while batch := await self._gather():
                await self._commit(store, batch)
        finally:
            await store.aclose()

    async def _gather(self) -> Sequence[_Waiting]:
        """What is to be committed next; nothing once there is nothing more to come."""
        # One at a time: two that gathered would halve every group.
        async with self._gathering:
            while True:
                await self._some.wait()
                if self._linger and not self._stopped:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._linger):
                            await self._enough.wait()
                batch = self._take()
                if batch or self._stopped:
                    return batch

    def _take(self) -> Sequence[_Waiting]:
        batch: list[_Waiting] = []
        events = size = 0
        while self._waiting:
            first = self._waiting[0]
            events, size = events + len(first.events), size + first.size
            if batch and (events > COMMIT_EVENTS or size > COMMIT_BYTES):
                break
            batch.append(self._waiting.popleft())
            self._count(first, -1)
        return batch

    def _count(self, waiting: _Waiting, sign: int) -> None:
        self._events += sign * len(waiting.events)
        self._bytes += sign * waiting.size
        if self._stopped:
            return
        _set(self._some, on=bool(self._waiting))
        _set(self._enough, on=self._events >= COMMIT_EVENTS or self._bytes >= COMMIT_BYTES)

    async def _commit(self, store: Store, batch: Sequence[_Waiting]) -> None:
        events = [event for one in batch for event in one.events]
        problems = [problem for one in batch for problem in one.problems]
        began = perf_counter()
        try:
            written = await store.write(events, problems)
        except StoreUnavailable as error:
            log.warning("events not stored", events=len(events), reason=str(error))
            _settle(batch, NotStored())
        except Exception as error:
            # Ours: their senders are told so, and the next ones are served.
            log.exception("events not stored", events=len(events))
            _settle(batch, error)
        except BaseException:
            _settle(batch, NotStored())
            raise
        else:
            _settle(batch, None)
            metrics.COMMIT_SECONDS.observe(perf_counter() - began)
            _observe(written, len(events), len(batch))


def _set(event: asyncio.Event, *, on: bool) -> None:
    if on:
        event.set()
    else:
        event.clear()


def _settle(batch: Sequence[_Waiting], error: Exception | None) -> None:
    for one in batch:
        if one.done.done():
            continue
        if error is None:
            one.done.set_result(None)
        else:
            one.done.set_exception(error)


def _observe(written: Written, events: int, requests: int) -> None:
    metrics.EVENTS_STORED.inc(written.new)
    metrics.EVENTS_REPEATED.inc(events - written.new - written.refused)
    metrics.COMMIT_EVENTS.observe(events)
    metrics.COMMIT_REQUESTS.observe(requests)
    for problem in written.problems:
        metrics.EVENTS_WRONG.labels(problem.code.value).inc(problem.count)


@asynccontextmanager
async def open_commits(make_store: Callable[[], Store], settings: IntakeSettings) -> AsyncIterator[Commits]:
    """At work; once the block is left, everything that was submitted is committed, or its sender told otherwise."""
    commits = Commits([make_store() for _ in range(settings.intake_connections)], settings)
    serving = asyncio.create_task(commits.serve())
    try:
        yield commits
    finally:
        commits.stop()
        await serving
