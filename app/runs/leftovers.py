"""What ended runs have left: objects that a lost attempt announced and that nothing has put on record.

The next attempt at a window overwrites or deletes them. Of a run that was cancelled, or that fails before it comes to
that, there is none; so somebody holds its window once more, and deletes them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import and_, delete, exists, select, update
from sqlalchemy.orm import aliased

from app.db.repository import Repository
from app.models import Export, Run, RunFile, RunStatus
from app.models.enums import UNFINISHED_RUN
from app.runs.claims import NOW
from app.runs.files import others_of

GIVE_UP_AFTER: Final = timedelta(days=7)
"""Counted from when the objects were announced: a bucket that is gone for good must not be asked for ever."""
HERE = and_(RunFile.committed_at.is_(None), RunFile.replaced_at.is_(None))


@dataclass(frozen=True, slots=True)
class Leftovers:
    """Of one run; its window is held. See :class:`app.pipeline.opening.Subject`."""

    run_id: UUID
    epoch: int
    export_id: UUID
    project_id: int
    model: str
    destination_type: str
    destination_config: bytes
    start: datetime | None
    end: datetime
    select_by: str


class LeftoverRepository(Repository):
    async def claim(self, owner: str, lease_ttl: timedelta) -> Leftovers | None:
        """Hold the window of a run that has left something. Its epoch rises: a worker of it that was asleep changes
        nothing any more.

        :raises sqlalchemy.exc.IntegrityError: when at this very moment somebody took another run of the window.
        """
        other = aliased(Run)
        same_window = and_(
            other.export_id == Run.export_id,
            other.data_interval_start.is_not_distinct_from(Run.data_interval_start),
            other.data_interval_end == Run.data_interval_end,
            other.lease_until.is_not(None),
        )
        found = (
            select(Run.id)
            .where(
                Run.id.in_(select(RunFile.run_id).where(HERE, RunFile.announced_at > NOW - GIVE_UP_AFTER)),
                Run.status.not_in([*UNFINISHED_RUN, RunStatus.COMPLETED]),
                Run.not_before <= NOW,
                ~exists().where(same_window),
            )
            .limit(1)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        statement = (
            update(Run)
            .where(Run.id == found, Export.id == Run.export_id)
            .values(epoch=Run.epoch + 1, owner=owner, lease_until=NOW + lease_ttl)
            .returning(
                Run.id.label("run_id"),
                Run.epoch,
                Run.export_id,
                Run.project_id,
                Export.model,
                Export.destination_type,
                Export.destination_config,
                Run.data_interval_start.label("start"),
                Run.data_interval_end.label("end"),
                Run.select_by,
            )
            .execution_options(synchronize_session=False)
        )
        row = (await self.session.execute(statement)).one_or_none()
        return Leftovers(**row._mapping) if row is not None else None

    async def keys(self, left: Leftovers, location: str) -> tuple[Sequence[str], bool]:
        """What may be deleted at a location: not what a completed run of the window has under the same key. And whether
        there is any of that: then its content is nobody knows whose."""
        own = await self.session.scalars(
            select(RunFile.key).where(RunFile.run_id == left.run_id, RunFile.location == location, HERE).distinct()
        )
        committed = await self.session.scalars(
            select(RunFile.key)
            .join(Run, Run.id == RunFile.run_id)
            .where(others_of(left, location), RunFile.committed_at.is_not(None))
        )
        mine, theirs = set(own), set(committed)
        return sorted(mine - theirs), bool(mine & theirs)

    async def forget(self, left: Leftovers) -> None:
        """Nothing of it is there any more, and the window is free."""
        await self.session.execute(delete(RunFile).where(RunFile.run_id == left.run_id, HERE))
        await self._release(left)

    async def put_off(self, left: Leftovers, delay: timedelta) -> None:
        """Free the window; its leftovers are for later."""
        await self._release(left, delay)

    async def _release(self, left: Leftovers, delay: timedelta = timedelta(0)) -> None:
        held = and_(Run.id == left.run_id, Run.epoch == left.epoch)
        await self.session.execute(update(Run).where(held).values(owner=None, lease_until=None, not_before=NOW + delay))
