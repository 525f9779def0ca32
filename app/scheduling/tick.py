"""The tick: every due window becomes a row, lost workers' runs are freed, and what waits is named.

A pass inserts all due windows, on conflict do nothing: a missed tick, five schedulers at once or a week of downtime
give the same rows. Nothing is sent from inside the transaction.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy import Interval as SqlInterval
from sqlalchemy import case, cast, func, literal, or_, select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app.backfills.passes import BackfillPasses
from app.db.engine import DATABASE_ERRORS
from app.exports.autopause import AutoPause
from app.exports.due import DueWindows
from app.exports.gaps import GapDetector
from app.exports.overdue import OverdueWatch
from app.logs.repository import LogRepository
from app.models import Export, Interval
from app.notifications.outbox import Outbox
from app.runs.claims import ClaimRepository
from app.runtime import Runtime

EXPORTS_PER_PASS = 500
"""A pass locks so many exports at most; the pass after it takes the rest."""
LOG_LINES_PER_PASS = 5000
"""Old lines of exports' logs that one pass deletes: many times more than are written meanwhile, and still at once."""
NOTIFICATIONS_PER_PASS = 500
"""Old notifications that one pass deletes."""
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

Check = Callable[[datetime], Awaitable[None]]
"""Given the time. May be repeated, and made by several ticks at once."""

log = structlog.get_logger(__name__)


def checks_of(runtime: Runtime) -> Sequence[Check]:
    """Exports whose runs fail and fail are paused, missing runs made, and overdue ones told of."""
    settings = runtime.settings
    return (
        AutoPause.of(runtime).catch_up,
        GapDetector(runtime.sessions, settings.settle_delay).look,
        OverdueWatch.of(runtime.sessions, settings).look,
    )


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
    """How long lines of exports' logs are kept, and notifications; for ever by default."""
    checks: Sequence[Check] = ()
    """What else is seen to in each pass, each in transactions of its own."""
    clock_skew_limit: timedelta | None = None
    """How far ``clock`` may be from the database's; not looked at by default."""

    async def tick(self) -> Ticked:
        now = self.clock()
        if not await self._clock_is_right():
            return await self._find_work()
        ticked = await self._schedule(now)
        if self.log_retention is not None:
            # In a transaction of its own: it must not hold up, nor undo, what has been scheduled.
            async with self.sessions.begin() as session:
                await LogRepository(session).prune(now - self.log_retention, LOG_LINES_PER_PASS)
                await Outbox(session).prune(now - self.log_retention, NOTIFICATIONS_PER_PASS)
        await self._check(now)
        return ticked

    async def _clock_is_right(self) -> bool:
        """Windows that have not closed must make no runs, nor must those that have be left waiting for a clock that is
        behind; and it must be said why."""
        if self.clock_skew_limit is None:
            return True
        async with self.sessions() as session:
            await session.connection()
            before = self.clock()
            there = (await session.scalars(select(func.clock_timestamp()))).one()
            after = self.clock()
        # The database answered at some moment between these two.
        ahead = max(before - there, timedelta(0)) - max(there - after, timedelta(0))
        if abs(ahead) <= self.clock_skew_limit:
            return True
        log.error(
            "nothing scheduled: this host's clock is not the database's; set both by NTP",
            ahead_seconds=round(ahead.total_seconds(), 1),
            limit_seconds=self.clock_skew_limit.total_seconds(),
        )
        return False

    async def _find_work(self) -> Ticked:
        """What the database's clock alone decides: lost workers' runs, and what waits."""
        async with self.sessions.begin() as session:
            reaped = await ClaimRepository(session).reap()
            runs = await ClaimRepository(session).ready(NAMED_PER_PASS)
            backfills = await BackfillPasses(session).idle(NAMED_PER_PASS)
        _tell_of_lost(reaped)
        return Ticked(0, len(reaped), runs, backfills)

    async def _check(self, now: datetime) -> None:
        for check in self.checks:
            try:
                await check(now)
            except DATABASE_ERRORS as error:
                log.warning("check not made: the database does not answer", reason=type(error).__name__)
            except Exception:
                # Whatever waits must get somebody all the same.
                log.exception("check not made")

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
            passes = BackfillPasses(session)
            timed_out = await passes.time_out(now)
            backfills = await passes.idle(NAMED_PER_PASS)
        _tell_of_lost(reaped)
        for backfill_id in timed_out:
            log.warning("backfill timed out", backfill_id=str(backfill_id))
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


def _tell_of_lost(reaped: Sequence[UUID]) -> None:
    for run_id in reaped:
        log.warning("worker lost; the run is free for another one", run_id=str(run_id))
