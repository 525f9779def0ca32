"""The SQL of organizations, projects and API keys."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import or_, select, type_coerce, update
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import joinedload

from app.db.repository import Repository
from app.models import ApiKey, Organization, Project

LAST_USED_RESOLUTION = timedelta(minutes=1)
"""A key in constant use is written to once a minute, not at each request."""


class TenantRepository(Repository):
    async def organization(self, organization_id: UUID) -> Organization | None:
        return await self.session.get(Organization, organization_id)

    async def project(self, project_id: int) -> Project | None:
        return await self.session.get(Project, project_id)

    async def projects(self, organization_id: UUID | None = None) -> Sequence[Project]:
        """All projects, or one organization's, oldest first."""
        query = select(Project).order_by(Project.id)
        if organization_id is not None:
            query = query.where(Project.organization_id == organization_id)
        return (await self.session.scalars(query)).all()

    async def set_flag(self, project_id: int, flag: str, *, on: bool) -> dict[str, bool] | None:
        """The project's flags then; None when there is no such project."""
        # Merged by the database: two flags that are set at once are both set.
        merged = Project.flags.op("||")(type_coerce({flag: on}, JSONB))
        statement = update(Project).where(Project.id == project_id).values(flags=merged).returning(Project.flags)
        return (await self.session.scalars(statement)).one_or_none()

    async def api_key(self, key_hash: bytes) -> ApiKey | None:
        """The live key of that hash."""
        query = select(ApiKey).where(ApiKey.key_hash == key_hash, ApiKey.revoked_at.is_(None))
        return (await self.session.scalars(query.options(joinedload(ApiKey.organization)))).one_or_none()

    async def api_keys(self, organization_id: UUID | None = None) -> Sequence[ApiKey]:
        query = select(ApiKey).order_by(ApiKey.created_at, ApiKey.id)
        if organization_id is not None:
            query = query.where(ApiKey.organization_id == organization_id)
        return (await self.session.scalars(query)).all()

    async def touch_key(self, key: ApiKey, now: datetime) -> None:
        """Note that the key was used."""
        if key.last_used_at is not None and key.last_used_at >= now - LAST_USED_RESOLUTION:
            return
        # Of several requests at once one writes; by its condition, the others find that it has been done.
        stale = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < now - LAST_USED_RESOLUTION)
        await self.session.execute(update(ApiKey).where(ApiKey.id == key.id, stale).values(last_used_at=now))

    async def revoke_key(self, key_id: UUID, now: datetime) -> bool:
        """False when there is no such key; a revoked key stays revoked since when it was."""
        live = ApiKey.revoked_at.is_(None)
        await self.session.execute(update(ApiKey).where(ApiKey.id == key_id, live).values(revoked_at=now))
        return await self.session.get(ApiKey, key_id) is not None
