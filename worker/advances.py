"""Backfills that this process moves on: each once at a time, and a few at once.

A pass may take minutes, for it counts the backfill's rows at first; so nobody waits for it, neither arq nor the tick.
"""

import asyncio
from collections.abc import Callable
from uuid import UUID

import structlog

from app.backfills.advance import Advancer
from app.db.engine import DATABASE_ERRORS

AT_ONCE = 8
"""Counting is work for the event store; what it has to bear from one process is bounded."""

log = structlog.get_logger(__name__)


class Advances:
    """``ring`` is called when there is a new run."""

    def __init__(self, advancer: Advancer, ring: Callable[[], None]) -> None:
        self._advancer = advancer
        self._ring = ring
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[UUID, asyncio.Task[None]] = {}

    def start(self, backfill_id: UUID) -> None:
        """Have a backfill moved on, unless that is already being done."""
        if backfill_id not in self._tasks:
            task = asyncio.create_task(self._in_turn(backfill_id))
            self._tasks[backfill_id] = task
            task.add_done_callback(lambda _: self._tasks.pop(backfill_id, None))

    async def advance(self, backfill_id: UUID) -> None:
        """Move a backfill on. An error is logged: the next tick finds the backfill as it is."""
        try:
            made = await self._advancer.advance(backfill_id)
        except DATABASE_ERRORS as error:
            log.warning("backfill not advanced", backfill_id=str(backfill_id), reason=type(error).__name__)
        except Exception:
            log.exception("backfill not advanced", backfill_id=str(backfill_id))
        else:
            if made is not None:
                self._ring()

    async def stop(self) -> None:
        """Give up what is under way; another worker's tick takes it up."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _in_turn(self, backfill_id: UUID) -> None:
        async with self._turns:
            await self.advance(backfill_id)
