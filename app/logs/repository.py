"""The SQL of log lines."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    ColumnElement,
    DateTime,
    Text,
    Uuid,
    cast,
    column,
    delete,
    exists,
    func,
    insert,
    select,
)
from sqlalchemy.engine import CursorResult

from app.db.repository import Repository
from app.logs.lines import Level, Line, storable
from app.models import Export, LogEntry, Run


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Bounds are exclusive; no levels are all of them."""

    after: datetime | None = None
    before: datetime | None = None
    levels: Sequence[Level] = ()
    search: str | None = None
    """Part of the message, in whatever case."""
    run_id: UUID | None = None
    about_export: bool = False
    """Only lines about the export itself."""


class LogRepository(Repository):
    async def add(self, lines: Sequence[tuple[datetime, Line]]) -> None:
        """In one statement, always the same one however many lines there are."""
        rows = (
            func.unnest(
                cast([line.export_id for _, line in lines], ARRAY(Uuid)),
                cast([line.run_id for _, line in lines], ARRAY(Uuid)),
                cast([moment for moment, _ in lines], ARRAY(DateTime(timezone=True))),
                cast([line.level.value for _, line in lines], ARRAY(Text)),
                cast([storable(line.message) for _, line in lines], ARRAY(Text)),
            )
            .table_valued(
                column("export_id", Uuid),
                column("run_id", Uuid),
                column("timestamp", DateTime(timezone=True)),
                column("level", Text),
                column("message", Text),
                with_ordinality="place",
                name="written",
            )
            .render_derived()
        )
        names = ("export_id", "run_id", "timestamp", "level", "message")
        # Lines of one moment are told apart by id, so they get their ids in the order in which they were written.
        query = select(*(rows.c[name] for name in names)).order_by(rows.c.place)
        await self.session.execute(insert(LogEntry).from_select(names, query))

    async def export_exists(self, project_ids: Sequence[int], export_id: UUID) -> bool:
        query = exists().where(Export.id == export_id, Export.project_id.in_(project_ids), ~Export.deleted)
        return bool(await self.session.scalar(select(query)))

    async def run_exists(self, project_ids: Sequence[int], export_id: UUID, run_id: UUID) -> bool:
        query = exists().where(Run.id == run_id, Run.export_id == export_id, Run.project_id.in_(project_ids))
        return bool(await self.session.scalar(select(query)))

    async def page(self, export_id: UUID, wanted: LogFilter, limit: int, offset: int) -> tuple[Sequence[LogEntry], int]:
        """Newest first, and how many there are in all."""
        chosen = (LogEntry.export_id == export_id, *_within(wanted))
        count = (await self.session.scalars(select(func.count()).select_from(LogEntry).where(*chosen))).one()
        query = select(LogEntry).where(*chosen).order_by(LogEntry.timestamp.desc(), LogEntry.id.desc())
        return (await self.session.scalars(query.limit(limit).offset(offset))).all(), count

    async def prune(self, before: datetime, limit: int) -> int:
        """Delete at most ``limit`` of the oldest lines; how many these were."""
        oldest = (
            select(LogEntry.id)
            .where(LogEntry.timestamp < before)
            .order_by(LogEntry.timestamp)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        result = await self.session.execute(
            delete(LogEntry).where(LogEntry.id.in_(oldest)).execution_options(synchronize_session=False)
        )
        assert isinstance(result, CursorResult)
        return int(result.rowcount)


def _within(wanted: LogFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if wanted.run_id is not None:
        conditions.append(LogEntry.run_id == wanted.run_id)
    if wanted.about_export:
        conditions.append(LogEntry.run_id.is_(None))
    if wanted.after is not None:
        conditions.append(LogEntry.timestamp > wanted.after)
    if wanted.before is not None:
        conditions.append(LogEntry.timestamp < wanted.before)
    if wanted.levels:
        conditions.append(LogEntry.level.in_(wanted.levels))
    if wanted.search:
        # What are wildcards to LIKE are plain characters to whoever searches.
        conditions.append(LogEntry.message.icontains(wanted.search, autoescape=True))
    return conditions
