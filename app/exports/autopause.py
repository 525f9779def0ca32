"""Pausing an export whose runs fail and fail (the contract's section 7).

Each failure is counted right after it was recorded, by the worker that recorded it. When that worker is lost in
between, the row that waits to be counted is still there, and the next tick counts it.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self
from uuid import UUID

import structlog
from sqlalchemy import Row, delete, select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.engine import DATABASE_ERRORS, Sessions
from app.db.repository import Repository
from app.exports.repository import ExportRepository
from app.logs.lines import Level, Line, auto_paused
from app.logs.repository import LogRepository
from app.models import Export, Interval, Run, RunStatus, UncountedFailure
from app.models.enums import UNFINISHED_RUN
from app.notifications.notices import Kind, Notice
from app.notifications.outbox import Outbox
from app.runs.repository import RunRepository
from app.runtime import Runtime
from app.timeouts import insisting

WINDOWS: Final[Mapping[str, int]] = {
    Interval.EVERY_5_MINUTES: 12,
    Interval.EVERY_15_MINUTES: 4,
    Interval.HOUR: 24,
    Interval.DAY: 7,
    Interval.WEEK: 4,
}
"""How many of an export's latest runs are looked at (the contract's section 7)."""
EXPORTS_PER_PASS: Final = 200
LIMIT: Final = 10.0
"""Seconds after which a database that says nothing does not answer."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AutoPause:
    """``after`` so many failures; 0 is never."""

    sessions: Sessions
    clock: Callable[[], datetime]
    after: int

    @classmethod
    def of(cls, runtime: Runtime) -> Self:
        return cls(runtime.sessions, runtime.clock, runtime.settings.auto_pause_after)

    async def after_failure(self, export_id: UUID) -> None:
        """Count the failures of an export, and pause it if there are too many. Any number of callers may do so at once.

        A database that does not answer is no error here: the failure waits to be counted by a tick.
        """
        try:
            async with insisting(LIMIT), self.sessions.begin() as session:
                paused = await self._count(session, export_id)
        except DATABASE_ERRORS as error:
            log.warning("failures not counted yet", export_id=str(export_id), reason=type(error).__name__)
        else:
            if paused:
                log.warning("export paused: too many of its runs failed", export_id=str(export_id))

    async def catch_up(self, now: datetime) -> None:
        """Count what lost workers could not."""
        async with self.sessions() as session:
            uncounted = await FailureRepository(session).exports(EXPORTS_PER_PASS)
        for export_id in uncounted:
            await self.after_failure(export_id)

    async def _count(self, session: AsyncSession, export_id: UUID) -> bool:
        """Whether the export is paused by this."""
        failures = FailureRepository(session)
        export = await failures.lock(export_id)
        # Before the runs are read: a failure that is noted after this is seen by whoever counts it.
        await failures.forget(export_id)
        if export is None or not self.after:
            return False
        window = WINDOWS[export.interval]
        latest = await failures.latest(export, window)
        failed = [run for run in latest if run.status == RunStatus.FAILED]
        if len(failed) < min(self.after, window):
            return False
        await self._pause(session, export, failed, len(latest))
        return True

    async def _pause(
        self, session: AsyncSession, export: Export, failed: list[Row[UUID, str, str | None]], of: int
    ) -> None:
        """Unlike people's pause, this makes no runs of windows that have closed and have none: they would fail as well.
        They belong to the pause, and unpausing with a backfill exports them."""
        now = self.clock()
        export.paused = True
        export.last_paused_at = export.last_updated_at = now
        cancelled = await ExportRepository(session).cancel_backfills(export.id, now)
        for backfill_id in cancelled:
            await RunRepository(session).cancel_of_backfill(backfill_id, now)
        run_id, _, error = failed[0]
        message = auto_paused(len(failed), of, error or "", len(cancelled))
        await LogRepository(session).add([(now, Line(export.id, None, Level.WARNING, message))])
        notice = Notice.each(Kind.EXPORT_PAUSED, export, now, run_id=str(run_id), failed_runs=len(failed), error=error)
        await Outbox(session).add([notice], now)


class FailureRepository(Repository):
    """The SQL of counting failures."""

    async def exports(self, limit: int) -> list[UUID]:
        """Those with a failure that nobody has counted."""
        query = select(UncountedFailure.export_id).distinct().limit(limit)
        return list(await self.session.scalars(query))

    async def lock(self, export_id: UUID) -> Export | None:
        """Until the transaction ends; None for one that is paused or deleted already."""
        query = select(Export).where(Export.id == export_id, ~Export.deleted, ~Export.paused)
        return (await self.session.scalars(query.with_for_update(key_share=True))).one_or_none()

    async def forget(self, export_id: UUID) -> None:
        await self.session.execute(delete(UncountedFailure).where(UncountedFailure.export_id == export_id))

    async def latest(self, export: Export, limit: int) -> list[Row[UUID, str, str | None]]:
        """The id, status and error of the latest scheduled runs that have ended, newest first.

        None of before the schedule was last resumed or moved: an export that was mended and unpaused is not paused
        again for what failed before.
        """
        query = (
            select(Run.id, Run.status, Run.latest_error)
            .where(
                Run.export_id == export.id,
                Run.backfill_id.is_(None),
                Run.data_interval_start >= export.accounted_from,
                Run.status.not_in(UNFINISHED_RUN),
            )
            .order_by(Run.data_interval_start.desc(), Run.data_interval_end.desc())
            .limit(limit)
        )
        return list((await self.session.execute(query)).all())
