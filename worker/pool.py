"""The slots of one worker process. Each takes the run that has waited longest, finishes it, and takes the next.

The pool pulls from Postgres; hints only ring its bell. So runs go on, and new ones start, with Redis down.
"""

import asyncio
from contextlib import suppress

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.backfills.advance import Advancer
from app.pipeline.execute import Executor
from app.runs.claims import Claim
from app.runtime import Runtime

log = structlog.get_logger(__name__)


class RunPool:
    def __init__(self, runtime: Runtime, executor: Executor, advancer: Advancer) -> None:
        self._executor = executor
        self._advancer = advancer
        self._slots = runtime.settings.worker_slots
        self._poll = runtime.settings.worker_poll_interval.total_seconds()
        self._grace = runtime.settings.worker_shutdown_grace.total_seconds()
        self._bell = asyncio.Event()

    def ring(self) -> None:
        """There may be work."""
        self._bell.set()

    async def serve(self, stopping: asyncio.Event) -> None:
        """Work until ``stopping``; then let runs finish within the grace time, and hand back those that do not."""
        slots = [asyncio.create_task(self._slot(stopping)) for _ in range(self._slots)]
        await stopping.wait()
        self.ring()
        _, late = await asyncio.wait(slots, timeout=self._grace)
        for slot in late:
            slot.cancel()
        await asyncio.gather(*slots, return_exceptions=True)

    async def _slot(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            self._bell.clear()
            claim = await self._claim()
            if claim is None:
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._bell.wait(), self._poll)
                continue
            # Where one run was ready there may be more: wake the other slots before this one is busy.
            self.ring()
            await self._executor.execute(claim)
            if claim.backfill_id is not None:
                await self.advance(claim)

    async def _claim(self) -> Claim | None:
        try:
            return await self._executor.claim()
        except (SQLAlchemyError, OSError) as error:
            log.warning("no run claimed: the database does not answer", reason=type(error).__name__)
            return None

    async def advance(self, claim: Claim) -> None:
        """The backfill's next window, at once rather than at the next tick."""
        assert claim.backfill_id is not None
        try:
            await self._advancer.advance(claim.backfill_id)
        except (SQLAlchemyError, OSError) as error:
            log.warning("backfill not advanced; the next tick will", reason=type(error).__name__)
