"""What arq calls. Each carries an id, reads its own state, returns at once, and may run twice."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.backfills.advance import Advancer
from app.scheduling.tick import Ticker
from worker.pool import RunPool


@dataclass(frozen=True, slots=True)
class Works:
    """What the tasks work with; arq hands it over as ``ctx["works"]``."""

    pool: RunPool
    ticker: Ticker
    advancer: Advancer


async def wake(ctx: dict[str, Any], run_id: str) -> None:
    """A run is ready. Which one does not matter: a free slot takes the one that has waited longest."""
    ctx["works"].pool.ring()


async def advance(ctx: dict[str, Any], backfill_id: str) -> None:
    """A backfill may have a next window."""
    works: Works = ctx["works"]
    if await works.advancer.advance(UUID(backfill_id)):
        works.pool.ring()


async def tick(ctx: dict[str, Any]) -> None:
    """Due windows become runs; whatever waits gets somebody."""
    await pass_over(ctx["works"])


async def pass_over(works: Works) -> None:
    ticked = await works.ticker.tick()
    for backfill_id in ticked.backfills:
        await works.advancer.advance(backfill_id)
    if ticked.runs or ticked.backfills:
        works.pool.ring()
