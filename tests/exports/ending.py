"""Scheduled runs of an export, and their ends, as the tick and the executor bring them about."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import func, select, update

from app.errors import Misconfigured
from app.exports.due import DueWindows
from app.exports.failures import note_failure
from app.models import Export, LogEntry, Notification, Project, Run, RunStatus
from app.runs.claim import Claim
from app.runtime import Runtime
from app.scheduling.tick import Ticker
from tests.factories import make_claim, make_export

ERROR = Misconfigured("bucket 'b' does not exist")


async def add_export(runtime: Runtime, project_id: int | None = None, **values: Any) -> UUID:
    async with runtime.sessions.begin() as session:
        project = await session.get_one(Project, project_id) if project_id is not None else None
        return (await make_export(session, runtime.cipher, project, **values)).id


async def tick(runtime: Runtime, now: datetime, limit: int = 10_000) -> None:
    await Ticker(runtime.sessions, lambda: now, DueWindows(timedelta(seconds=30), limit)).tick()


async def runs_of(runtime: Runtime, export_id: UUID) -> Sequence[Run]:
    """Oldest window first."""
    async with runtime.sessions() as session:
        query = select(Run).where(Run.export_id == export_id, Run.backfill_id.is_(None))
        return (await session.scalars(query.order_by(Run.data_interval_start, Run.data_interval_end))).all()


async def end(runtime: Runtime, run: Run, status: RunStatus = RunStatus.FAILED, **values: Any) -> None:
    """As the executor records it."""
    async with runtime.sessions.begin() as session:
        ended = {"status": status, "finished_at": func.clock_timestamp(), "latest_error": str(ERROR), **values}
        await session.execute(update(Run).where(Run.id == run.id).values(ended))
        if status not in (RunStatus.COMPLETED, RunStatus.CANCELLED):
            await note_failure(session, claim_of(run), status, ERROR, runtime.clock())


def claim_of(run: Run) -> Claim:
    return make_claim(
        run_id=run.id,
        export_id=run.export_id,
        project_id=run.project_id,
        backfill_id=run.backfill_id,
        start=run.data_interval_start,
        end=run.data_interval_end,
    )


async def read(runtime: Runtime, export_id: UUID) -> Export:
    async with runtime.sessions() as session:
        return await session.get_one(Export, export_id)


async def warnings(runtime: Runtime, export_id: UUID) -> list[str]:
    async with runtime.sessions() as session:
        query = select(LogEntry.message).where(LogEntry.export_id == export_id, LogEntry.level == "WARNING")
        return list(await session.scalars(query.order_by(LogEntry.id)))


async def told(runtime: Runtime, export_id: UUID | None = None) -> list[str]:
    """The kinds of notifications, oldest first."""
    async with runtime.sessions() as session:
        query = select(Notification.kind).order_by(Notification.created_at, Notification.kind)
        if export_id is not None:
            query = query.where(Notification.export_id == export_id)
        return list(await session.scalars(query))
