"""The SQL of integrations. Every query is limited to the caller's projects."""

from collections.abc import Sequence

from sqlalchemy import Select, func, select, update

from app.db.repository import Repository
from app.integrations.uses import COPY_DESTINATION
from app.models import Export, Integration


class IntegrationRepository(Repository):
    async def page(self, project_ids: Sequence[int], limit: int, offset: int) -> tuple[Sequence[Integration], int]:
        """Newest first, and how many there are in all."""
        visible = Integration.project_id.in_(project_ids)
        count = (await self.session.scalars(select(func.count()).select_from(Integration).where(visible))).one()
        query = select(Integration).where(visible).order_by(Integration.created_at.desc(), Integration.id.desc())
        return (await self.session.scalars(query.limit(limit).offset(offset))).all(), count

    async def get(self, project_ids: Sequence[int], integration_id: int) -> Integration | None:
        return (await self.session.scalars(_one(project_ids, integration_id))).one_or_none()

    async def for_use(self, project_ids: Sequence[int], integration_id: int) -> Integration | None:
        """For a row that is about to refer to it. Until the transaction ends nobody can delete it; if somebody is
        just doing so, it waits, and there is None."""
        return (
            await self.session.scalars(_one(project_ids, integration_id).with_for_update(read=True, key_share=True))
        ).one_or_none()

    async def for_delete(self, project_ids: Sequence[int], integration_id: int) -> Integration | None:
        """Until the transaction ends nobody can begin to use it; if somebody is just doing so, it waits for them, and
        whoever asks afterwards sees their export."""
        query = _one(project_ids, integration_id).with_for_update()
        return (await self.session.scalars(query)).one_or_none()

    async def delete(self, integration: Integration) -> None:
        # Deleted exports are kept as rows; they let go of what they used.
        deleted = (Export.integration_id == integration.id, Export.deleted)
        await self.session.execute(update(Export).where(*deleted).values(integration_id=None))
        await self.session.delete(integration)
        await self.session.flush()

    async def users(self, integration: Integration) -> Sequence[Export]:
        """Exports that name it in their column, oldest first."""
        query = select(Export).where(Export.integration_id == integration.id, ~Export.deleted)
        return (await self.session.scalars(query.order_by(Export.created_at, Export.id))).all()

    async def perhaps_users(self, integration: Integration) -> Sequence[Export]:
        """Exports that may name it inside their sealed config, oldest first."""
        query = select(Export).where(
            Export.project_id == integration.project_id, Export.destination_type == COPY_DESTINATION, ~Export.deleted
        )
        return (await self.session.scalars(query.order_by(Export.created_at, Export.id))).all()


def _one(project_ids: Sequence[int], integration_id: int) -> Select[Integration]:
    return select(Integration).where(Integration.id == integration_id, Integration.project_id.in_(project_ids))
