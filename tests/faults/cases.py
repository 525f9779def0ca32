"""What fault tests export: events on record, in windows that are due, to a place of their own in the bucket."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg

from app.models import Export, Project
from app.runs.claims import ClaimRepository
from app.runtime import Runtime
from app.scheduling.intervals import Window
from tests.factories import make_export, utc
from tests.faults.oracle import Oracle

START = utc(2026, 1, 1)
HOUR = timedelta(hours=1)
END = START + HOUR
"""Of the first window."""
SHAPES: dict[str, dict[str, Any]] = {
    # One small object, sent in one piece.
    "one file": {},
    # Several objects, each sent in parts, and a manifest.
    "many files": {"max_file_size_mb": 1},
}
"""Configs of the two ways in which objects come to be."""
SIZES = {"one file": 20, "many files": 60_000}
"""Bytes of properties of each event: what makes one file of a window, or several."""


@dataclass(frozen=True)
class Case:
    """An export with runs that are ready."""

    export_id: UUID
    project_id: int
    prefix: str
    runs: list[UUID] = field(default_factory=list)


async def add_case(
    oracle: Oracle,
    s3: dict[str, str],
    shape: str = "one file",
    *,
    windows: int = 1,
    events: int = 60,
    start: datetime = START,
    due: int | None = None,
    size: int | None = None,
    project_id: int | None = None,
    **config: Any,
) -> Case:
    """An export of hourly windows from ``start`` on, each with so many events in it, of ``size`` bytes; runs of the
    first ``due`` windows, or all, are ready."""
    prefix = f"faults-{uuid4().hex}/"
    runtime = oracle.runtime
    async with runtime.sessions.begin() as session:
        export = await make_export(
            session,
            runtime.cipher,
            await session.get_one(Project, project_id) if project_id is not None else None,
            destination_type="S3",
            config={**s3, "prefix": prefix, **SHAPES[shape], **config},
            next_start=start + windows * HOUR,
            paused=True,
        )
        case = Case(export.id, export.project_id, prefix)
    await add_events(oracle, case.project_id, start, windows * HOUR, windows * events, size or SIZES[shape])
    await add_runs(runtime, case, *range(windows if due is None else due), start=start)
    return case


async def add_runs(runtime: Runtime, case: Case, *numbers: int, start: datetime = START) -> Sequence[UUID]:
    """Runs of the windows with these numbers, ready at once; put down in the case as well."""
    due = [Window(start + number * HOUR, start + (number + 1) * HOUR) for number in numbers]
    async with runtime.sessions.begin() as session:
        export = await session.get_one(Export, case.export_id)
        made = await ClaimRepository(session).add(export, due, timedelta(0))
    case.runs.extend(made)
    return made


async def add_events(
    oracle: Oracle, project_id: int, start: datetime, span: timedelta, count: int, size: int = 20
) -> None:
    """Events at even distances over a span of time, the first at its very start, committed and on record."""
    url = oracle.runtime.settings.database_url.get_secret_value().replace("+asyncpg", "")
    connection = await asyncpg.connect(url, ssl=False)
    try:
        moments = [start + span / count * number for number in range(count)]
        await oracle.truth.insert(connection, project_id, [(uuid4(), moment) for moment in moments], size)
    finally:
        await connection.close()
