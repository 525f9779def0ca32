"""The SQL of advancing backfills."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Interval, case, cast, exists, func, literal, select, update

from app.db.repository import Repository
from app.models import Backfill, BackfillStatus, Export, Run, RunStatus
from app.models.enums import UNFINISHED_BACKFILL, UNFINISHED_RUN
from app.runs.limits import TIME_LIMITS
from app.runs.repository import RunRepository

UNBOUNDED_LIMIT: Final = timedelta(days=31)
"""How long a backfill without a start or an end may take. Others have the length of their range (the contract's section
6.3), and never less than what two attempts at one run may take."""

BUSY = exists().where(Run.backfill_id == Backfill.id, Run.status.in_(UNFINISHED_RUN))
"""A run of the backfill is unfinished."""


class BackfillPasses(Repository):
    async def unfinished(self, backfill_id: UUID) -> tuple[Backfill, Export] | None:
        query = (
            select(Backfill, Export)
            .join(Export, Export.id == Backfill.export_id)
            .where(Backfill.id == backfill_id, Backfill.status.in_(UNFINISHED_BACKFILL), ~Export.deleted)
        )
        row = (await self.session.execute(query)).one_or_none()
        return (row[0], row[1]) if row is not None else None

    async def lock_idle(self, backfill_id: UUID) -> tuple[Backfill, Export] | None:
        """The running backfill and its export, locked until the transaction ends; None while a run of it is unfinished.

        Locked in the order in which deleting an export locks them, or the two would wait for each other. Runs are
        looked for in a statement of its own: it sees what a pass committed that held the locks before this one.
        """
        of_export = select(Export).where(
            Export.id == select(Backfill.export_id).where(Backfill.id == backfill_id).scalar_subquery(),
            ~Export.deleted,
        )
        export = (await self.session.scalars(of_export.with_for_update(key_share=True))).one_or_none()
        locked = select(Backfill).where(Backfill.id == backfill_id, Backfill.status == BackfillStatus.RUNNING)
        backfill = (await self.session.scalars(locked.with_for_update())).one_or_none()
        if export is None or backfill is None:
            return None
        busy = await self.session.scalar(select(BUSY).where(Backfill.id == backfill_id))
        return None if busy else (backfill, export)

    async def begin(
        self,
        backfill_id: UUID,
        status: BackfillStatus,
        count: int | None,
        adjusted_start: datetime | None,
        finished_at: datetime | None,
    ) -> None:
        """Record the info step, unless another pass has, or the backfill was cancelled meanwhile."""
        await self.session.execute(
            update(Backfill)
            .where(Backfill.id == backfill_id, Backfill.status == BackfillStatus.STARTING)
            .values(
                status=status,
                total_records_count=count,
                adjusted_start_at=adjusted_start,
                finished_at=finished_at,
                last_updated_at=func.clock_timestamp(),
            )
        )

    async def complete(self, backfill: Backfill, now: datetime) -> None:
        """All runs are made and ended: the count becomes what was really exported."""
        exported = func.coalesce(
            func.sum(func.coalesce(Run.records_completed, 0) + func.coalesce(Run.records_failed, 0)), 0
        )
        query = select(exported).where(Run.backfill_id == backfill.id, Run.status == RunStatus.COMPLETED)
        backfill.total_records_count = int((await self.session.scalars(query)).one())
        backfill.status = BackfillStatus.COMPLETED
        backfill.finished_at = backfill.last_updated_at = now

    async def idle(self, limit: int) -> Sequence[UUID]:
        """Unfinished backfills that wait for a pass: none of their runs is unfinished."""
        query = (
            select(Backfill.id)
            .where(Backfill.status.in_(UNFINISHED_BACKFILL), ~BUSY)
            .order_by(Backfill.last_updated_at)
            .limit(limit)
        )
        return (await self.session.scalars(query)).all()

    async def time_out(self, now: datetime) -> Sequence[UUID]:
        """End those that have taken longer than they may, with their unfinished runs; which ones."""
        limit = case(
            *((Export.interval == name, cast(literal(2 * span), Interval)) for name, span in TIME_LIMITS.items())
        )
        longest = func.coalesce(Backfill.end_at - Backfill.start_at, literal(UNBOUNDED_LIMIT))
        overdue = (
            select(Backfill.id)
            .join(Export, Export.id == Backfill.export_id)
            .where(
                Backfill.status.in_(UNFINISHED_BACKFILL),
                # A retry is one run, which has a limit of its own.
                Backfill.retry_of.is_(None),
                Backfill.created_at + func.greatest(longest, limit) < now,
            )
            .with_for_update(skip_locked=True, of=Backfill)
        )
        statement = (
            update(Backfill)
            .where(Backfill.id.in_(overdue.scalar_subquery()))
            .values(status=BackfillStatus.TIMED_OUT, finished_at=now, last_updated_at=now)
            .returning(Backfill.id)
        )
        ended = (await self.session.scalars(statement)).all()
        for backfill_id in ended:
            await RunRepository(self.session).cancel_of_backfill(backfill_id, now)
        return ended
