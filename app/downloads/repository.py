"""The SQL of downloads. Every query but the clean-up's is limited to the caller's projects."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import Row, and_, func, literal, or_, select, text, update
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.repository import Repository
from app.models import Download, Export, Run, RunFile, RunStatus, SelectBy
from app.models.enums import UNFINISHED_RUN
from app.runs.claims import NOW

GIVE_UP_AFTER: Final = timedelta(days=30)
"""Counted from when a download expired: a bucket that is gone for good must not be asked for ever."""


@dataclass(frozen=True, slots=True)
class Expired:
    """A download whose objects are to be deleted."""

    run_id: UUID
    destination_config: bytes
    """Still sealed."""
    locations: Sequence[str]
    """Where its objects have been written."""


class DownloadRepository(Repository):
    async def lock(self, project_id: int) -> None:
        """Until the transaction ends: concurrent requests of one project count one after another."""
        lock = text("SELECT pg_advisory_xact_lock(hashtext('downloads'), :project_id)")
        await self.session.execute(lock, {"project_id": project_id})

    async def count_unfinished(self, project_id: int) -> int:
        query = (
            select(func.count())
            .select_from(Run)
            .join(Download, Download.run_id == Run.id)
            .where(Download.project_id == project_id, Run.status.in_(UNFINISHED_RUN))
        )
        return (await self.session.scalars(query)).one()

    async def add(
        self,
        export: Export,
        run_id: UUID,
        start: datetime | None,
        end: datetime,
        *,
        select_by: SelectBy,
        settled: datetime,
        now: datetime,
        expires_at: datetime,
    ) -> None:
        """A run that waits until ``settled``, and queues up behind what is ready now: old windows must not keep the
        schedules' runs waiting."""
        self.session.add(export)
        await self.session.flush()
        run = Run(
            id=run_id,
            export_id=export.id,
            project_id=export.project_id,
            data_interval_start=start,
            data_interval_end=end,
            select_by=select_by,
            not_before=func.greatest(literal(settled), NOW),
            created_at=now,
            last_updated_at=now,
        )
        self.session.add(run)
        await self.session.flush()
        self.session.add(Download(run_id=run_id, project_id=export.project_id, created_at=now, expires_at=expires_at))
        await self.session.flush()

    async def page(self, project_ids: Sequence[int], limit: int, offset: int) -> tuple[Sequence[Row[UUID, str]], int]:
        """Id and status of each, newest first, and how many there are in all."""
        visible = Download.project_id.in_(project_ids)
        count = (await self.session.scalars(select(func.count()).select_from(Download).where(visible))).one()
        query = (
            select(Run.id, Run.status)
            .join(Download, Download.run_id == Run.id)
            .where(visible)
            .order_by(Download.created_at.desc(), Download.run_id.desc())
        )
        return (await self.session.execute(query.limit(limit).offset(offset))).all(), count

    async def get(self, project_ids: Sequence[int], run_id: UUID) -> tuple[Download, Run] | None:
        query = (
            select(Download, Run)
            .join(Run, Run.id == Download.run_id)
            .where(Download.run_id == run_id, Download.project_id.in_(project_ids))
        )
        found = (await self.session.execute(query)).one_or_none()
        return (found[0], found[1]) if found is not None else None

    async def files(self, run_id: UUID) -> Sequence[RunFile]:
        """What can be fetched of it, as its keys are numbered: the tenth file comes after the second."""
        query = (
            select(RunFile)
            .where(RunFile.run_id == run_id, RunFile.committed_at.is_not(None), ~RunFile.is_manifest)
            .order_by(RunFile.number)
        )
        return (await self.session.scalars(query)).all()


class CleanUpRepository(Repository):
    """The SQL of deleting what nobody can fetch any more, whosoever it is."""

    def __init__(self, session: AsyncSession, now: datetime) -> None:
        super().__init__(session)
        self._now = now

    async def take(self, limit: int, again_after: timedelta) -> Sequence[Expired]:
        """Some downloads that have expired, or ended without being completed, and that no worker is at. Nobody else
        takes them for ``again_after``."""
        ended = Run.status.not_in(UNFINISHED_RUN)
        over = or_(Download.expires_at <= self._now, Run.status != RunStatus.COMPLETED)
        left_alone = or_(Download.tried_at.is_(None), Download.tried_at <= self._now - again_after)
        due = (
            select(Download.run_id)
            .join(Run, Run.id == Download.run_id)
            .where(
                Download.removed_at.is_(None),
                Download.expires_at > self._now - GIVE_UP_AFTER,
                *(ended, over, left_alone, Run.lease_until.is_(None)),
            )
            .order_by(Download.tried_at.nulls_first(), Download.expires_at)
            .limit(limit)
            .with_for_update(skip_locked=True, of=Download)
        )
        taken = (await self.session.scalars(due)).all()
        mine = Download.run_id.in_(taken)
        await self.session.execute(
            update(Download).where(mine).values(tried_at=self._now).execution_options(synchronize_session=False)
        )
        locations = func.array_remove(func.array_agg(RunFile.location.distinct()), None)
        query = (
            select(Run.id, Export.destination_config, locations)
            .join(Export, Export.id == Run.export_id)
            .outerjoin(RunFile, and_(RunFile.run_id == Run.id, RunFile.replaced_at.is_(None)))
            .where(Run.id.in_(taken))
            .group_by(Run.id, Export.id)
        )
        return [Expired(*row) for row in await self.session.execute(query)]

    async def note_removed(self, run_id: UUID) -> None:
        statement = update(Download).where(Download.run_id == run_id, Download.removed_at.is_(None))
        await self.session.execute(statement.values(removed_at=self._now).execution_options(synchronize_session=False))
