"""Due windows become runs: at every tick, and right before an export is paused."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

import structlog
from sqlalchemy.ext.asyncio import AsyncSession

from app.exports.schedules import schedule_of
from app.logs.lines import Level, Line, skipped
from app.logs.repository import LogRepository
from app.models import Export, Interval
from app.runs.claims import ClaimRepository
from app.scheduling.intervals import Window
from app.scheduling.jitter import jitter
from app.settings import Settings

WINDOWS_PER_PASS = 1000
"""Of one export; after a long time away, later passes make the rest."""

log = structlog.get_logger(__name__)


def due_range(export: Export, now: datetime) -> tuple[datetime, datetime]:
    """What has closed and fires though it has no run yet: windows from the first of these boundaries on that end by the
    second."""
    schedule = schedule_of(export)
    last = schedule.align(now if export.end_at is None else min(now, export.end_at))
    first = export.next_start
    if export.start_at is not None:
        first = max(first, min(last, schedule.align(export.start_at - timedelta(microseconds=1))))
    return first, last


@dataclass(frozen=True, slots=True)
class DueWindows:
    """How windows become runs. Inserting is on conflict do nothing: a repeated pass makes the same rows."""

    settle: timedelta
    catch_up_limit: int
    """Windows of one export that are made up at most, the newest ones."""
    jitter: float = 0
    """Share of the contract's longest delays."""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(settings.settle_delay, settings.catch_up_limit, settings.schedule_jitter)

    async def make_all(self, session: AsyncSession, export: Export, now: datetime) -> None:
        """Every due window, in as many passes as it takes."""
        before = None
        while export.next_start != before:
            before = export.next_start
            await self.make_runs(session, export, now)

    async def make_runs(self, session: AsyncSession, export: Export, now: datetime) -> int:
        """One run per closed window that fires within the export's ``start_at`` and ``end_at``; how many are new.

        The export's row is locked by the caller.
        """
        schedule, interval = schedule_of(export), Interval(export.interval)
        first, last = due_range(export, now)
        start, older = schedule.newest(first, last, self.catch_up_limit)
        if older:
            await self._tell_skipped(session, export, now, Window(first, start), older)
        if start > export.next_start:
            export.accounted_from = start
        due = schedule.due(start, last, WINDOWS_PER_PASS)
        made = await ClaimRepository(session).add(
            export, due, self.settle, jitter=lambda end: jitter(export.id, end, interval, self.jitter)
        )
        if due:
            export.next_start = due[-1].end
        elif export.end_at is not None and last < export.end_at and schedule.following(last) <= now:
            # The window in which the schedule ends never fires. It is passed, so that no pass looks here again.
            export.next_start = export.accounted_from = schedule.following(last)
        else:
            export.next_start = max(export.next_start, last)
        return len(made)

    async def _tell_skipped(
        self, session: AsyncSession, export: Export, now: datetime, range_: Window, windows: int
    ) -> None:
        """What will never run by itself is named, to the operator and to whose export it is."""
        assert range_.start is not None
        log.warning("intervals skipped", export_id=str(export.id), windows=windows, end=range_.end.isoformat())
        message = skipped(windows, range_.start, range_.end, self.catch_up_limit)
        await LogRepository(session).add([(now, Line(export.id, None, Level.WARNING, message))])
