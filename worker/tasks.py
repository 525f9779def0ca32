"""What arq calls. Each carries an id at most, returns at once, and may run twice."""

import math
import time
from typing import Any
from uuid import UUID

import structlog

from app.db.engine import DATABASE_ERRORS
from app.scheduling.tick import Ticker
from worker.advances import Advances
from worker.pool import RunPool

log = structlog.get_logger(__name__)


class Works:
    """What the tasks work with; arq hands it over as ``ctx["works"]``."""

    def __init__(self, pool: RunPool, ticker: Ticker, advances: Advances) -> None:
        self.pool = pool
        self.advances = advances
        self._ticker = ticker
        self._ticked = -math.inf

    @property
    def since_tick(self) -> float:
        """Seconds since this process last began a tick."""
        return time.monotonic() - self._ticked

    async def tick(self) -> None:
        """Due windows become runs, and whatever waits gets somebody. An error is logged: the next tick makes it up."""
        self._ticked = time.monotonic()
        try:
            ticked = await self._ticker.tick()
        except DATABASE_ERRORS as error:
            log.warning("tick missed: the database does not answer", reason=type(error).__name__)
        except Exception:
            log.exception("tick missed")
        else:
            for backfill_id in ticked.backfills:
                self.advances.start(backfill_id)
            if ticked.runs:
                self.pool.ring()


async def wake(ctx: dict[str, Any], run_id: str) -> None:
    """A run is ready. Which one does not matter: a free slot takes the one that has waited longest."""
    works: Works = ctx["works"]
    works.pool.ring()


async def advance(ctx: dict[str, Any], backfill_id: str) -> None:
    """A backfill may have a next window."""
    works: Works = ctx["works"]
    works.advances.start(UUID(backfill_id))


async def tick(ctx: dict[str, Any]) -> None:
    works: Works = ctx["works"]
    await works.tick()
