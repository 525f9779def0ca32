"""The slots of one worker process. Each takes the run that has waited longest, finishes it, and takes the next.

The pool pulls from Postgres; hints only ring its bell. So runs go on, and new ones start, with Redis down.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from uuid import UUID

import structlog

from app.db.engine import DATABASE_ERRORS
from app.pipeline.execute import Executor
from app.settings import WorkerSettings
from app.timeouts import insisting
from worker.memory import give_back

CLAIM_LIMIT = 10.0
"""Seconds after which a database that says nothing does not answer. A claim it makes all the same lapses."""
LONGEST_PAUSE = 60.0
"""Seconds that a slot which fails again and again rests between its tries, at most."""

log = structlog.get_logger(__name__)


class RunPool:
    """``after_run`` is told the backfill of every run that has ended here, so that its next window comes at once."""

    def __init__(
        self, executor: Executor, settings: WorkerSettings, after_run: Callable[[UUID], Awaitable[None]]
    ) -> None:
        self._executor = executor
        self._after_run = after_run
        self._slots = settings.worker_slots
        self._poll = settings.worker_poll_interval.total_seconds()
        self._grace = settings.worker_shutdown_grace.total_seconds()
        self._bell = asyncio.Event()

    def ring(self) -> None:
        """There may be work."""
        self._bell.set()

    async def serve(self, stopping: asyncio.Event) -> None:
        """Work until ``stopping``; then let runs finish within the grace time, and hand back those that do not."""
        slots = [asyncio.create_task(self._slot(stopping)) for _ in range(self._slots)]
        try:
            await stopping.wait()
            self.ring()
            if slots:
                await asyncio.wait(slots, timeout=self._grace)
        finally:
            for slot in slots:
                slot.cancel()
            await asyncio.gather(*slots, return_exceptions=True)

    async def _slot(self, stopping: asyncio.Event) -> None:
        """Never ends by an error: a slot that died would be missed by nobody."""
        failures = 0
        while not stopping.is_set():
            self._bell.clear()
            try:
                worked = await self._work(stopping)
                failures = 0
            except Exception:
                failures += 1
                log.exception("a slot failed, and goes on")
                # Of random length, so that slots that failed together do not try again together.
                pause = random.uniform(0.5, 1) * min(2.0**failures, LONGEST_PAUSE)  # noqa: S311  guards nothing
                await _wait(stopping, pause)
            else:
                if not worked:
                    await _wait(self._bell, self._poll)

    async def _work(self, stopping: asyncio.Event) -> bool:
        """Make one attempt at one run; False when there is none to be had."""
        try:
            async with insisting(CLAIM_LIMIT):
                claim = await self._executor.claim()
        except DATABASE_ERRORS as error:
            log.warning("no run claimed: the database does not answer", reason=type(error).__name__)
            return False
        if claim is None:
            return False
        if stopping.is_set():
            await self._executor.hand_back(claim)
            return True
        # Where one run was ready there may be more: wake the other slots before this one is busy.
        self.ring()
        await self._executor.execute(claim)
        await give_back()
        if claim.backfill_id is not None:
            await self._after_run(claim.backfill_id)
        return True


async def _wait(event: asyncio.Event, limit: float) -> None:
    with suppress(TimeoutError):
        async with asyncio.timeout(limit):
            await event.wait()
