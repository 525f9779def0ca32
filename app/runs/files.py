"""The SQL of the objects that runs leave at destinations.

An attempt announces its keys before anything becomes visible, and commits them with the run. What was announced and
never committed may be there or not; the next attempt at the same window overwrites it or has it deleted.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

from sqlalchemy import ARRAY, ColumnElement, String, and_, bindparam, cast, delete, func, or_, select, true, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.sql.dml import Update

from app.db.repository import Repository
from app.destinations.base import Written
from app.models import Run, RunFile

NOW = func.clock_timestamp()
FACTS: Final = ("rows", "bytes", "sha256", "min_timestamp", "max_timestamp")
"""What is recorded of a file as it was written."""


class Attempt(Protocol):
    """What files are kept by: one attempt at one window."""

    @property
    def run_id(self) -> UUID: ...
    @property
    def epoch(self) -> int: ...
    @property
    def export_id(self) -> UUID: ...
    @property
    def start(self) -> datetime | None: ...
    @property
    def end(self) -> datetime: ...


class RunFileRepository(Repository):
    async def announce(self, attempt: Attempt, location: str, keys: Sequence[str]) -> None:
        """Repeating it changes nothing."""
        if not keys:
            return
        rows = [
            {"run_id": attempt.run_id, "epoch": attempt.epoch, "location": location, "key": key, "number": number}
            for number, key in enumerate(keys)
        ]
        statement = insert(RunFile).values({RunFile.announced_at: NOW, RunFile.is_manifest: False})
        await self.session.execute(statement.on_conflict_do_nothing(), rows)

    async def earlier(
        self, attempt: Attempt, location: str, keys: Sequence[str], renewing: Update
    ) -> tuple[tuple[str, ...], bool] | None:
        """Keys that other attempts at this window, and other runs of it, may have left there, besides ``keys``; and
        whether a completed run is among them. None: ``renewing``, which is done in the same statement, matched no row.
        """
        renewed = renewing.returning(Run.id).cte("renewed")
        left = (
            select(RunFile.key, RunFile.committed_at.is_not(None).label("committed"))
            .join(Run, Run.id == RunFile.run_id)
            .where(others_of(attempt, location))
            .subquery("left_by_others")
        )
        query = select(left.c.key, left.c.committed).select_from(renewed).outerjoin(left, true())
        found = (await self.session.execute(query)).all()
        if not found:
            return None
        stale = sorted({key for key, _ in found if key is not None}.difference(keys))
        return tuple(stale), any(committed for _, committed in found)

    async def commit(self, attempt: Attempt, written: Written) -> None:
        """What was written is what the window now is; what others left is replaced or deleted, but for what the write
        could not delete."""
        manifest = () if written.manifest is None else (written.manifest,)
        files = [
            {**{name: getattr(file, name) for name in FACTS}, "of": file.key, "is_manifest": file is written.manifest}
            for file in (*written.files, *manifest)
        ]
        if files:
            own = (RunFile.run_id == attempt.run_id, RunFile.epoch == attempt.epoch, RunFile.key == bindparam("of"))
            values: dict[str, Any] = {name: bindparam(name) for name in (*FACTS, "is_manifest")}
            # All in one go, and not by way of the session, which would wait for each: a run may have thousands.
            connection = await self.session.connection()
            await connection.execute(update(RunFile).where(*own).values(**values, committed_at=NOW), files)
        gone = and_(
            others_of(attempt, written.location), RunFile.key.not_in(written.undeleted), Run.id == RunFile.run_id
        )
        await self.session.execute(delete(RunFile).where(gone, RunFile.committed_at.is_(None)))
        await self.session.execute(update(RunFile).where(gone).values(replaced_at=NOW))

    async def forget(self, attempt: Attempt) -> None:
        """Nothing of what the attempt announced is there."""
        await self.session.execute(
            delete(RunFile).where(
                RunFile.run_id == attempt.run_id, RunFile.epoch == attempt.epoch, RunFile.committed_at.is_(None)
            )
        )

    async def of_run(self, run_id: UUID) -> Sequence[RunFile]:
        """What a run has committed, in order; the manifest comes last."""
        query = (
            select(RunFile)
            .where(RunFile.run_id == run_id, RunFile.committed_at.is_not(None))
            .order_by(RunFile.epoch, RunFile.number)
        )
        return (await self.session.scalars(query)).all()

    async def of_other_exports(self, export_id: UUID, location: str, keys: Sequence[str]) -> Sequence[UUID]:
        """Exports that have objects of their own under the same keys: each overwrites what the other writes."""
        query = (
            select(Run.export_id)
            .join(RunFile, RunFile.run_id == Run.id)
            .where(
                Run.export_id != export_id,
                RunFile.location == location,
                RunFile.key == func.any(cast(list(keys), ARRAY(String))),
                RunFile.committed_at.is_not(None),
                RunFile.replaced_at.is_(None),
            )
            .distinct()
            .order_by(Run.export_id)
        )
        return (await self.session.scalars(query)).all()


def others_of(attempt: Attempt, location: str) -> ColumnElement[bool]:
    """Files of this window that this attempt did not write, and that nobody has replaced since."""
    start = Run.data_interval_start
    return and_(
        Run.export_id == attempt.export_id,
        start.is_(None) if attempt.start is None else start == attempt.start,
        Run.data_interval_end == attempt.end,
        RunFile.location == location,
        RunFile.replaced_at.is_(None),
        or_(RunFile.run_id != attempt.run_id, RunFile.epoch != attempt.epoch),
    )
