"""The SQL of reading and cancelling backfills. Every query is limited to the caller's projects."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, SQLColumnExpression, func, literal_column, select, text, update
from sqlalchemy.dialects.postgresql import insert

from app.db.pages import Order, Place
from app.db.repository import Repository
from app.models import Backfill, BackfillStatus, Run, RunStatus
from app.models.enums import UNFINISHED_BACKFILL

FINISHED_RUN = (RunStatus.COMPLETED, RunStatus.FAILED)
"""Runs that count as progress (the contract's section 6.6)."""

START: SQLColumnExpression[datetime] = func.coalesce(
    Backfill.start_at, literal_column("'-infinity'::timestamp with time zone", DateTime(timezone=True))
)
"""Word for word the expression of the index, or that would not serve. The driver reads and writes
``app.db.pages.EARLIEST`` as this moment."""


class BackfillRepository(Repository):
    async def page(
        self,
        project_ids: Sequence[int],
        export_id: UUID,
        order_by: str,
        *,
        descending: bool,
        place: Place | None,
        size: int,
    ) -> tuple[Sequence[Backfill], bool]:
        """Backfills of one export; ``order_by`` is ``created_at`` or ``start_at``."""
        query = select(Backfill).where(Backfill.export_id == export_id, Backfill.project_id.in_(project_ids))
        column: SQLColumnExpression[datetime] = Backfill.created_at if order_by == "created_at" else START
        return await Order(column, Backfill.id, descending).page(self.session, query, place, size)

    async def get(self, project_ids: Sequence[int], export_id: UUID, backfill_id: UUID) -> Backfill | None:
        query = select(Backfill).where(
            Backfill.id == backfill_id, Backfill.export_id == export_id, Backfill.project_id.in_(project_ids)
        )
        return (await self.session.scalars(query)).one_or_none()

    async def finished_runs(self, backfill_ids: Sequence[UUID]) -> dict[UUID, int]:
        """How many runs of each have ended, in one statement."""
        query = (
            select(Run.backfill_id, func.count())
            .where(Run.backfill_id.in_(backfill_ids), Run.status.in_(FINISHED_RUN))
            .group_by(Run.backfill_id)
        )
        return {backfill_id: count for backfill_id, count in await self.session.execute(query) if backfill_id}

    async def count_unfinished(self, project_id: int) -> int:
        """Without retries of runs: these are one run each, and must be had while big backfills are under way."""
        query = select(func.count()).where(
            Backfill.project_id == project_id,
            Backfill.status.in_(UNFINISHED_BACKFILL),
            Backfill.retry_of.is_(None),
        )
        return (await self.session.scalars(query)).one()

    async def add_retry(self, run: Run, now: datetime) -> UUID | None:
        """A running backfill of just that run's window, all of its runs being made; None while there is one already."""
        statement = (
            insert(Backfill)
            .values(
                export_id=run.export_id,
                project_id=run.project_id,
                start_at=run.data_interval_start,
                end_at=run.data_interval_end,
                adjusted_start_at=run.data_interval_start,
                next_start=run.data_interval_end,
                select_by=run.select_by,
                retry_of=run.id,
                status=BackfillStatus.RUNNING,
                created_at=now,
                last_updated_at=now,
            )
            # In the index's own words: with parameters in them, it would not be recognised.
            .on_conflict_do_nothing(index_elements=["retry_of"], index_where=text("status IN ('Starting', 'Running')"))
            .returning(Backfill.id)
        )
        return (await self.session.scalars(statement)).one_or_none()

    async def cancel(self, backfill_id: UUID, now: datetime) -> bool:
        """False when it has ended already."""
        statement = (
            update(Backfill)
            .where(Backfill.id == backfill_id, Backfill.status.in_(UNFINISHED_BACKFILL))
            .values(status=BackfillStatus.CANCELLED, finished_at=now, last_updated_at=now)
            .returning(Backfill.id)
        )
        return (await self.session.scalars(statement)).one_or_none() is not None
