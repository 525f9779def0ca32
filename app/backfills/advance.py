"""Moving a backfill on: one window at a time, each pass in one short transaction.

Nothing long-lived runs. A pass may be repeated, or made by several workers at once: the row's lock and the unique
window of a run decide.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

import structlog
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from app.backfills.passes import BackfillPasses
from app.errors import RunError
from app.exports.queries import stored_filters
from app.exports.schedules import schedule_of
from app.models import Backfill, BackfillStatus, Export, SelectBy
from app.runs.claims import ClaimRepository
from app.scheduling.intervals import Schedule, Window
from app.sources.base import EventQuery, Source

INFO_TIME_LIMIT = timedelta(minutes=5)
"""For counting; a backfill whose rows cannot be counted in time goes on uncounted (the contract's section 6.3)."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Advancer:
    """Moves backfills on. ``settle`` is how long past its end a window is left alone."""

    sessions: async_sessionmaker[AsyncSession]
    source: Source
    clock: Callable[[], datetime]
    settle: timedelta

    async def advance(self, backfill_id: UUID) -> UUID | None:
        """Take the next step of a backfill; the id of the run it made, if it made one.

        Does nothing while a run of the backfill is unfinished, and nothing to a backfill that has ended.
        """
        async with self.sessions.begin() as session:
            found = await BackfillPasses(session).unfinished(backfill_id)
        if found is None:
            return None
        backfill, export = found
        if backfill.status == BackfillStatus.STARTING:
            await self._prepare(backfill, export)
        async with self.sessions.begin() as session:
            return await self._step(session, backfill_id)

    async def _prepare(self, backfill: Backfill, export: Export) -> None:
        """The info step: how many rows there are, and where they begin. Counts outside any transaction."""
        # Set already where the backfill continues a schedule: from the window on that has no run.
        start = backfill.adjusted_start_at or backfill.start_at
        end = backfill.end_at or self.clock()
        count: int | None = None
        earliest: datetime | None = None
        try:
            query = EventQuery(
                project_id=backfill.project_id,
                model=export.model,
                start=start,
                end=end,
                select_by="ingested_at" if backfill.select_by == SelectBy.INGESTED_AT else "timestamp",
                columns=("uuid",),
                filters=stored_filters(export.filters, end),
            )
            async with asyncio.timeout(INFO_TIME_LIMIT.total_seconds()):
                count = await self.source.count(query)
                earliest = await self.source.earliest(query)
        except (TimeoutError, RunError) as error:
            log.warning(
                "rows of the backfill not counted", backfill_id=str(backfill.id), reason=str(error) or "time limit"
            )
        adjusted = start
        if start is not None and earliest is not None:
            adjusted = max(start, schedule_of(export).align(earliest))
        async with self.sessions.begin() as session:
            passes = BackfillPasses(session)
            if count == 0:
                await passes.begin(backfill.id, BackfillStatus.COMPLETED, count, start, self.clock())
            else:
                await passes.begin(backfill.id, BackfillStatus.RUNNING, count, adjusted, None)

    async def _step(self, session: AsyncSession, backfill_id: UUID) -> UUID | None:
        passes = BackfillPasses(session)
        found = await passes.lock_idle(backfill_id)
        if found is None:
            return None
        backfill, export = found
        now = self.clock()
        window = next_window(backfill, schedule_of(export), now)
        if window is None:
            await passes.complete(backfill, now)
            if backfill.end_at is None and export.paused:
                # The schedule goes on where the backfill ends; what was missed in the pause is not made up by it.
                export.paused = False
                export.next_start = export.accounted_from = max(export.next_start, schedule_of(export).align(now))
                export.last_updated_at = now
            return None
        backfill.next_start = window.end
        backfill.last_updated_at = now
        made = await ClaimRepository(session).add(
            export, [window], self.settle, backfill_id=backfill_id, select_by=SelectBy(backfill.select_by)
        )
        return made[0] if made else None


def next_window(backfill: Backfill, schedule: Schedule, now: datetime) -> Window | None:
    """The window after the cursor, or None when the backfill has made all its runs.

    Without a start there is one window for all of the past; a trailing partial window is left out.
    """
    end = backfill.end_at or now
    if backfill.start_at is None:
        return Window(None, end) if backfill.next_start is None else None
    start = backfill.next_start or backfill.adjusted_start_at or backfill.start_at
    after = schedule.step(start)
    return Window(start, after) if after <= end else None
