"""The SQL of exports. Every query is limited to the caller's projects, and deleted exports do not exist."""

from collections.abc import Collection, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import func, select, update

from app.db.repository import Repository
from app.models import Backfill, BackfillStatus, Export, Integration
from app.models.enums import UNFINISHED_BACKFILL


class ExportRepository(Repository):
    async def page(
        self, project_ids: Sequence[int], limit: int, offset: int, hidden_types: Sequence[str] = ()
    ) -> tuple[Sequence[Export], int]:
        """Newest first, and how many there are in all."""
        visible = (
            Export.project_id.in_(project_ids),
            ~Export.deleted,
            Export.destination_type.not_in(hidden_types),
        )
        count = (await self.session.scalars(select(func.count()).select_from(Export).where(*visible))).one()
        query = select(Export).where(*visible).order_by(Export.created_at.desc(), Export.id.desc())
        return (await self.session.scalars(query.limit(limit).offset(offset))).all(), count

    async def get(self, project_ids: Sequence[int], export_id: UUID, *, lock: bool = False) -> Export | None:
        """With ``lock``, until the transaction ends: concurrent changes of one export come one after another."""
        query = select(Export).where(Export.id == export_id, Export.project_id.in_(project_ids), ~Export.deleted)
        if lock:
            # Not so strong a lock that runs and backfills, which refer to the row, could not be added meanwhile.
            query = query.with_for_update(key_share=True).execution_options(populate_existing=True)
        return (await self.session.scalars(query)).one_or_none()

    async def integration(self, export_id: UUID) -> Integration | None:
        """For a run, which has been claimed and whose project is known to be its own."""
        query = select(Integration).join(Export, Export.integration_id == Integration.id).where(Export.id == export_id)
        return (await self.session.scalars(query)).one_or_none()

    async def by_ids(self, export_ids: Collection[UUID]) -> dict[UUID, Export]:
        """Deleted ones included: what belongs to them can still be read."""
        query = select(Export).where(Export.id.in_(export_ids))
        return {export.id: export for export in await self.session.scalars(query)}

    async def cancel_backfills(self, export_id: UUID, now: datetime) -> Sequence[UUID]:
        """Those that were unfinished; which ones. Their runs are not touched."""
        statement = (
            update(Backfill)
            .where(Backfill.export_id == export_id, Backfill.status.in_(UNFINISHED_BACKFILL))
            .values(status=BackfillStatus.CANCELLED, finished_at=now, last_updated_at=now)
            .returning(Backfill.id)
        )
        return (await self.session.scalars(statement)).all()
