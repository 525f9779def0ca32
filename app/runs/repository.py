"""The SQL of reading and cancelling runs. Every query is limited to the caller's projects."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import ColumnElement, select, true, update
from sqlalchemy.orm import aliased

from app.db.pages import Order, Place
from app.db.repository import Repository
from app.logs.lines import CANCELLED, Level, Line
from app.logs.repository import LogRepository
from app.models import Export, Run, RunStatus
from app.models.enums import UNFINISHED_RUN

LATEST = 10
"""Runs that an export shows of itself (the contract's section 3.1)."""


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Bounds are inclusive. ``created_*`` and ``interval_*`` are not used together (the contract's section 2.1)."""

    statuses: Sequence[RunStatus] = ()
    created_after: datetime | None = None
    created_before: datetime | None = None
    interval_start: datetime | None = None
    interval_end: datetime | None = None


class RunRepository(Repository):
    async def page(
        self,
        project_ids: Sequence[int],
        export_id: UUID,
        wanted: RunFilter,
        order_by: str,
        *,
        descending: bool,
        place: Place | None,
        size: int,
    ) -> tuple[Sequence[Run], bool]:
        """Runs of one export. ``order_by`` is ``created_at`` or ``data_interval_start``; runs that have none of the
        latter are left out then."""
        query = select(Run).where(Run.export_id == export_id, Run.project_id.in_(project_ids))
        if wanted.statuses:
            query = query.where(Run.status.in_(wanted.statuses))
        query = query.where(*_within(wanted))
        if order_by == "created_at":
            return await Order(Run.created_at, Run.id, descending).page(self.session, query, place, size)
        query = query.where(Run.data_interval_start.is_not(None))
        return await Order(Run.data_interval_start, Run.id, descending).page(self.session, query, place, size)

    async def get(self, project_ids: Sequence[int], export_id: UUID, run_id: UUID) -> Run | None:
        query = select(Run).where(Run.id == run_id, Run.export_id == export_id, Run.project_id.in_(project_ids))
        return (await self.session.scalars(query)).one_or_none()

    async def latest(self, export_ids: Sequence[UUID]) -> Sequence[Run]:
        """The newest runs of each export, newest first, in one statement however many exports there are."""
        newest = (
            select(Run)
            .where(Run.export_id == Export.id)
            .order_by(Run.created_at.desc(), Run.id.desc())
            .limit(LATEST)
            .lateral()
        )
        run = aliased(Run, newest)
        query = select(run).select_from(Export).join(newest, true()).where(Export.id.in_(export_ids))
        return (await self.session.scalars(query.order_by(run.created_at.desc(), run.id.desc()))).all()

    async def cancel(self, run_id: UUID, now: datetime) -> bool:
        """False when it has ended already. The worker that has it finds out at its next heartbeat."""
        return await self._cancel(Run.id == run_id, now) == 1

    async def cancel_of_export(self, export_id: UUID, now: datetime) -> None:
        await self._cancel(Run.export_id == export_id, now)

    async def cancel_of_backfill(self, backfill_id: UUID, now: datetime) -> None:
        await self._cancel(Run.backfill_id == backfill_id, now)

    async def _cancel(self, which: ColumnElement[bool], now: datetime) -> int:
        statement = (
            update(Run)
            .where(which, Run.status.in_(UNFINISHED_RUN))
            # The lease stays: whoever has the run cleans up behind it before another run may have its window.
            .values(status=RunStatus.CANCELLED, finished_at=now, last_updated_at=now)
            .returning(Run.id, Run.export_id)
            .execution_options(synchronize_session=False)
        )
        cancelled = (await self.session.execute(statement)).all()
        if cancelled:
            # In the same transaction: whether a worker has the run, and will ever hear of it, is not known here.
            lines = [(now, Line(export_id, run_id, Level.INFO, CANCELLED)) for run_id, export_id in cancelled]
            await LogRepository(self.session).add(lines)
        return len(cancelled)


def _within(wanted: RunFilter) -> list[ColumnElement[bool]]:
    bounds = (
        (wanted.created_after, Run.created_at.__ge__),
        (wanted.created_before, Run.created_at.__le__),
        (wanted.interval_start, Run.data_interval_start.__ge__),
        (wanted.interval_end, Run.data_interval_end.__le__),
    )
    return [compare(bound) for bound, compare in bounds if bound is not None]
