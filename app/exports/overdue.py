"""Telling of intervals that should have been exported by now.

An interval has time to settle, its random delay, and then another interval's length (15 minutes at least) for its run
to end. Whether the run is waiting, working, being tried again or not even made is all the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Self
from uuid import UUID

import structlog
from sqlalchemy import ColumnElement, Text, and_, case, cast, exists, func, literal, or_, select
from sqlalchemy import Interval as SqlInterval
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.engine import Sessions
from app.db.repository import Repository
from app.exports.due import due_range
from app.exports.schedules import schedule_of
from app.logs.lines import Level, Line, overdue
from app.logs.repository import LogRepository
from app.models import Export, Interval, Notification, Run
from app.models.enums import UNFINISHED_RUN
from app.notifications.notices import Kind, Notice, daily_key, iso
from app.notifications.outbox import Outbox
from app.scheduling.intervals import Window
from app.scheduling.jitter import MOST
from app.settings import Settings
from app.telemetry import INTERVALS_OVERDUE

TOLD_PER_PASS: Final = 200
"""Exports; the pass after it tells of the next ones."""
UNMADE_COUNTED: Final = 1000
"""Of one export's windows without a run. That there are many is all that more of them would say."""
SHORTEST_PATIENCE: Final = timedelta(minutes=15)
LENGTHS: Final[Mapping[Interval, timedelta]] = {
    Interval.EVERY_5_MINUTES: timedelta(minutes=5),
    Interval.EVERY_15_MINUTES: timedelta(minutes=15),
    Interval.HOUR: timedelta(hours=1),
    Interval.DAY: timedelta(days=1),
    Interval.WEEK: timedelta(days=7),
}
LONGEST: Final[Mapping[Interval, timedelta]] = {
    **LENGTHS,
    # Where clocks are set back.
    Interval.DAY: timedelta(hours=25),
    Interval.WEEK: timedelta(days=7, hours=1),
}

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Late:
    """Intervals of one export that should have been exported by now."""

    export: Export
    windows: int
    oldest: Window


@dataclass(frozen=True, slots=True)
class OverdueWatch:
    sessions: Sessions
    allowances: Mapping[Interval, timedelta]
    """How long after its end an interval may take."""

    @classmethod
    def of(cls, sessions: Sessions, settings: Settings) -> Self:
        allowances = {
            interval: settings.settle_delay
            + MOST[interval] * settings.schedule_jitter
            + (max(length, SHORTEST_PATIENCE) if settings.overdue_after is None else settings.overdue_after)
            for interval, length in LENGTHS.items()
        }
        return cls(sessions, allowances)

    async def look(self, now: datetime) -> None:
        """One pass. Repeating it, or several at once, tells of an export once a day."""
        async with self.sessions.begin() as session:
            overdues = OverdueRepository(session, self.allowances, now)
            runs, exports = await overdues.count_runs(), await overdues.count_exports()
            INTERVALS_OVERDUE.set(runs + exports)
            unfinished = await overdues.unfinished() if runs else []
            unmade = await overdues.unmade() if exports else []
            late = _merged([*unfinished, *unmade])
            told = {notice.export_id for notice in await Outbox(session).add([_notice(one, now) for one in late], now)}
            lines = [
                (now, Line(one.export.id, None, Level.WARNING, overdue(one.windows, one.oldest)))
                for one in late
                if one.export.id in told
            ]
            if lines:
                await LogRepository(session).add(lines)
        if told:
            log.warning("intervals overdue; the exports' logs say which", exports=len(told))


def _merged(found: Sequence[Late]) -> list[Late]:
    """One of each export, in the order of their ids, which is the same for everybody who writes such notices."""
    merged: dict[UUID, Late] = {}
    for late in found:
        if (other := merged.get(late.export.id)) is not None:
            late = Late(late.export, late.windows + other.windows, min(late.oldest, other.oldest, key=_end))
        merged[late.export.id] = late
    return [merged[export_id] for export_id in sorted(merged)]


def _end(window: Window) -> datetime:
    return window.end


def _notice(late: Late, now: datetime) -> Notice:
    assert late.oldest.start is not None
    bounds = {"data_interval_start": iso(late.oldest.start), "data_interval_end": iso(late.oldest.end)}
    return Notice.daily(Kind.INTERVAL_OVERDUE, late.export, now, intervals=late.windows, **bounds)


class OverdueRepository(Repository):
    """The SQL of finding what is late at one moment."""

    def __init__(self, session: AsyncSession, allowances: Mapping[Interval, timedelta], now: datetime) -> None:
        super().__init__(session)
        self._allowances = allowances
        self._now = now
        live = and_(~Export.deleted, ~Export.paused)
        limit = literal(now) - _by_interval(allowances)
        # What is late for no interval at all is told without a look at the export's, and found in an index.
        latest = now - min(allowances.values())
        self._late_run = and_(
            live,
            Run.status.in_(UNFINISHED_RUN),
            Run.backfill_id.is_(None),
            Run.data_interval_end < latest,
            Run.data_interval_end < limit,
        )
        self._late_export = and_(
            live,
            Export.next_start < latest - min(LONGEST.values()),
            Export.next_start < limit - _by_interval(LONGEST),
            or_(Export.end_at.is_(None), Export.next_start < Export.end_at),
        )

    async def count_runs(self) -> int:
        """Runs that have not ended in time."""
        query = select(func.count()).select_from(Run).join(Export, Export.id == Run.export_id).where(self._late_run)
        return (await self.session.scalars(query)).one()

    async def count_exports(self) -> int:
        """Exports that no tick has come to in time."""
        query = select(func.count()).select_from(Export).where(self._late_export)
        return (await self.session.scalars(query)).one()

    async def unfinished(self) -> list[Late]:
        """Exports with runs that have not ended, and nobody has been told today."""
        query = (
            select(Export, func.count(), func.min(Run.data_interval_start), func.min(Run.data_interval_end))
            .join(Run, Run.export_id == Export.id)
            .where(self._late_run, ~self._told())
            .group_by(Export.id)
            .order_by(Export.id)
            .limit(TOLD_PER_PASS)
        )
        rows = await self.session.execute(query)
        return [Late(export, windows, Window(start, end)) for export, windows, start, end in rows]

    async def unmade(self) -> list[Late]:
        """Exports that no tick has come to for long, and nobody has been told today."""
        query = select(Export).where(self._late_export, ~self._told()).order_by(Export.id).limit(TOLD_PER_PASS)
        found = []
        for export in await self.session.scalars(query):
            first, last = due_range(export, self._now - self._allowances[Interval(export.interval)])
            if windows := schedule_of(export).due(first, last, UNMADE_COUNTED):
                found.append(Late(export, len(windows), windows[0]))
        return found

    def _told(self) -> ColumnElement[bool]:
        prefix, suffix = daily_key(Kind.INTERVAL_OVERDUE, "|", self._now).split("|")
        key = literal(prefix).concat(cast(Export.id, Text)).concat(suffix)
        return exists().where(Notification.dedupe_key == key)


def _by_interval(spans: Mapping[Interval, timedelta]) -> ColumnElement[timedelta]:
    return case(*((Export.interval == name, cast(literal(span), SqlInterval)) for name, span in spans.items()))
