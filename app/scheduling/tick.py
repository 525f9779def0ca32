"""The tick: every due window becomes a row, lost workers' runs are freed, and what waits is named.

A pass inserts all due windows, on conflict do nothing: a missed tick, five schedulers at once or a week of downtime
give the same rows. Nothing is sent from inside the transaction.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import Interval as SqlInterval
from sqlalchemy import case, cast, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app.backfills.passes import BackfillPasses
from app.exports.due import DueWindows
from app.logs.repository import LogRepository
from app.models import Export, Interval
from app.runs.claims import ClaimRepository

EXPORTS_PER_PASS = 500
"""A pass locks so many exports at most; the pass after it takes the rest."""
LOG_LINES_PER_PASS = 5000
"""Old lines of exports' logs that one pass deletes: many times more than are written meanwhile, and still at once."""
NAMED_PER_PASS = 200
"""Waiting runs and backfills that one pass names. Workers find more by themselves as they get free."""

SHORTEST = {
    Interval.EVERY_5_MINUTES: timedelta(minutes=5),
    Interval.EVERY_15_MINUTES: timedelta(minutes=15),
    Interval.HOUR: timedelta(hours=1),
    # A day may be an hour shorter where clocks change, and a whole day is skipped when a zone crosses the date line.
    Interval.DAY: timedelta(0),
    Interval.WEEK: timedelta(days=5),
}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ticked:
    """What a pass did and found. ``runs`` and ``backfills`` are waiting for somebody to take them."""

    created: int
    reaped: int
    runs: Sequence[UUID]
    backfills: Sequence[UUID]


@dataclass(frozen=True, slots=True)
class Ticker:
    sessions: async_sessionmaker[AsyncSession]
    clock: Callable[[], datetime]
    due: DueWindows
    log_retention: timedelta | None = None
    """How long lines of exports' logs are kept; for ever by default."""

    async def tick(self) -> Ticked:
        now = self.clock()
        ticked = await self._schedule(now)
        if self.log_retention is not None:
            # In a transaction of its own: it must not hold up, nor undo, what has been scheduled.
            async with self.sessions.begin() as session:
                await LogRepository(session).prune(now - self.log_retention, LOG_LINES_PER_PASS)
        return ticked

    async def _schedule(self, now: datetime) -> Ticked:
        async with self.sessions.begin() as session:
            created = 0
            for export in await self._due_exports(session, now):
                export_id = export.id
                try:
                    # A savepoint each: one export that cannot be scheduled must not stop all the others.
                    async with session.begin_nested():
                        created += await self.due.make_runs(session, export, now)
                except Exception:
                    log.exception("export not scheduled", export_id=str(export_id))
            claims = ClaimRepository(session)
            reaped = await claims.reap()
            runs = await claims.ready(NAMED_PER_PASS)
            backfills = await BackfillPasses(session).idle(NAMED_PER_PASS)
        for run_id in reaped:
            log.warning("worker lost; the run is free for another one", run_id=str(run_id))
        return Ticked(created, len(reaped), runs, backfills)

    async def _due_exports(self, session: AsyncSession, now: datetime) -> Sequence[Export]:
        """Locked, so that concurrent passes share the work. May hold exports that are not quite due."""
        shortest = case(
            *((Export.interval == name, cast(literal(span), SqlInterval)) for name, span in SHORTEST.items())
        )
        query = (
            select(Export)
            .where(
                ~Export.deleted,
                ~Export.paused,
                Export.next_start <= literal(now) - shortest,
                or_(Export.end_at.is_(None), Export.next_start < Export.end_at),
            )
            .order_by(Export.next_start)
            .limit(EXPORTS_PER_PASS)
            .with_for_update(skip_locked=True, key_share=True)
        )
        return (await session.scalars(query)).all()
