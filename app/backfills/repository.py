"""The SQL of reading and cancelling backfills. Every query is limited to the caller's projects."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import SQLColumnExpression, func, select, update

from app.db.pages import EARLIEST, Order, Place
from app.db.repository import Repository
from app.models import Backfill, BackfillStatus, Run, RunStatus
from app.models.enums import UNFINISHED_BACKFILL

FINISHED_RUN = (RunStatus.COMPLETED, RunStatus.FAILED)
"""Runs that count as progress (the contract's section 6.6)."""


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
        column: SQLColumnExpression[datetime] = (
            Backfill.created_at if order_by == "created_at" else func.coalesce(Backfill.start_at, EARLIEST)
        )
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
        query = select(func.count()).where(Backfill.project_id == project_id, Backfill.status.in_(UNFINISHED_BACKFILL))
        return (await self.session.scalars(query)).one()

    async def cancel(self, backfill_id: UUID, now: datetime) -> bool:
        """False when it has ended already."""
        statement = (
            update(Backfill)
            .where(Backfill.id == backfill_id, Backfill.status.in_(UNFINISHED_BACKFILL))
            .values(status=BackfillStatus.CANCELLED, finished_at=now, last_updated_at=now)
            .returning(Backfill.id)
        )
        return (await self.session.scalars(statement)).one_or_none() is not None
