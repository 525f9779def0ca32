"""Seeing to it that no due interval is without a run.

Every window of an export's schedule in ``[accounted_from, next_start)`` has one: whatever moves ``next_start`` past
windows without making their runs moves ``accounted_from`` too. Here that is looked at, in case rows were deleted,
restored from an old copy, or never made by a bug. What has closed behind ``next_start`` waits for a tick, and is the
concern of :mod:`app.exports.overdue`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

import structlog
from sqlalchemy import ColumnElement, and_, func, or_, select, true
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.engine import Sessions
from app.db.repository import Repository
from app.exports.schedules import schedule_of
from app.logs.lines import Level, Line, missing
from app.logs.repository import LogRepository
from app.models import Export, Run
from app.notifications.notices import Kind, Notice, iso
from app.notifications.outbox import Outbox
from app.runs.claims import ClaimRepository
from app.scheduling.intervals import Window
from app.telemetry import INTERVALS_MISSING

EXPORTS_PER_PASS: Final = 500
"""The pass after it looks at the next ones."""
WINDOWS: Final = 100
"""Of one export that are looked at, the newest ones."""

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class GapDetector:
    """Looks at some exports after another, and makes the runs that are missing."""

    sessions: Sessions
    settle: timedelta
    _after: UUID = field(default_factory=uuid4)
    """Where the last pass stopped. Begins anywhere, so that processes which do not live long see all exports."""

    async def look(self, now: datetime) -> None:
        """One pass. Several at once make each run once."""
        async with self.sessions() as session:
            suspects = await self._next_suspects(GapRepository(session))
        for export_id in suspects:
            async with self.sessions.begin() as session:
                await self._mend(session, export_id, now)

    async def _next_suspects(self, gaps: "GapRepository") -> Sequence[UUID]:
        seen = await gaps.look_at(Export.id > self._after, EXPORTS_PER_PASS)
        if len(seen) < EXPORTS_PER_PASS:
            # From the beginning again, up to where this pass began.
            seen += await gaps.look_at(Export.id <= self._after, EXPORTS_PER_PASS - len(seen))
        if seen:
            self._after = seen[-1][0]
        return [export_id for export_id, suspect in seen if suspect]

    async def _mend(self, session: AsyncSession, export_id: UUID, now: datetime) -> None:
        # Under the export's lock, for its schedule may be moving just now.
        if (export := await GapRepository(session).lock(export_id)) is None:
            return
        lacking = await GapRepository(session).lacking(export)
        if not await ClaimRepository(session).add(export, lacking, self.settle):
            return
        first, last = lacking[0], lacking[-1]
        assert first.start is not None
        INTERVALS_MISSING.inc(len(lacking))
        log.warning("intervals had no run; runs made", export_id=str(export.id), windows=len(lacking))
        # At every time: what has been mended is not found again.
        await LogRepository(session).add([(now, Line(export.id, None, Level.WARNING, missing(lacking)))])
        bounds = {"data_interval_start": iso(first.start), "data_interval_end": iso(last.end)}
        notice = Notice.daily(Kind.INTERVAL_MISSING, export, now, intervals=len(lacking), **bounds)
        await Outbox(session).add([notice], now)


class GapRepository(Repository):
    """The SQL of finding windows without a run."""

    async def look_at(self, where: ColumnElement[bool], limit: int) -> list[tuple[UUID, bool]]:
        """Live exports by id, and whether the newest runs of each fail to tile its accounted time.

        Without a schedule's arithmetic, which takes too long for all of them: runs of an earlier schedule may make an
        export suspect that lacks nothing.
        """
        page = (
            select(Export.id, Export.accounted_from, Export.next_start)
            .where(~Export.deleted, ~Export.paused, where)
            .order_by(Export.id)
            .limit(limit)
            .subquery()
        )
        start, end = Run.data_interval_start, Run.data_interval_end
        newest = (
            select(start.label("start"), end.label("end"))
            .where(
                Run.export_id == page.c.id,
                Run.backfill_id.is_(None),
                start >= page.c.accounted_from,
                start < page.c.next_start,
            )
            .order_by(start.desc(), end.desc())
            .limit(WINDOWS)
            .lateral()
        )
        first, last = func.min(newest.c.start), func.max(newest.c.end)
        tiled = and_(
            last.is_not_distinct_from(page.c.next_start),
            func.sum(newest.c.end - newest.c.start).is_not_distinct_from(last - first),
            or_(func.count(newest.c.start) == WINDOWS, first.is_not_distinct_from(page.c.accounted_from)),
        )
        query = (
            select(page.c.id, and_(page.c.accounted_from < page.c.next_start, ~tiled))
            .select_from(page.outerjoin(newest, true()))
            .group_by(*page.c)
            .order_by(page.c.id)
        )
        rows = await self.session.execute(query)
        return [(export_id, suspect) for export_id, suspect in rows]

    async def lock(self, export_id: UUID) -> Export | None:
        """Until the transaction ends; None for one that is paused, deleted, or just being worked on by others."""
        query = select(Export).where(Export.id == export_id, ~Export.deleted, ~Export.paused)
        return (await self.session.scalars(query.with_for_update(skip_locked=True, key_share=True))).one_or_none()

    async def lacking(self, export: Export) -> list[Window]:
        """The accounted windows that have no run, oldest first, among the newest ones."""
        schedule = schedule_of(export)
        begin = schedule.align(export.accounted_from)
        if begin < export.accounted_from:
            begin = schedule.following(begin)
        begin, _ = schedule.newest(begin, export.next_start, WINDOWS)
        query = select(Run.data_interval_start, Run.data_interval_end).where(
            Run.export_id == export.id, Run.backfill_id.is_(None), Run.data_interval_start >= begin
        )
        made = {Window(start, end) for start, end in await self.session.execute(query)}
        return [window for window in schedule.windows(begin, export.next_start) if window not in made]
