"""Runs of an export: nested under projects and environments."""

from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import WithJsonSchema

from app.errors import ValidationFailed
from app.http.access import ReadAccess, WriteAccess
from app.http.dates import Moment, parse_moment
from app.http.errors import responses
from app.http.paging import Cursor, CursorPage, cursor_links, lenient, page_cursor
from app.http.paths import ExportId, RunId
from app.http.unit import UnitOfWork
from app.models import RunStatus
from app.runs.repository import RunFilter
from app.runs.schemas import FilesRead, RunCancelled, RunRead
from app.runs.service import DEFAULT_ORDERING, ORDERINGS, RunService

router = APIRouter(prefix="/batch_exports/{export_id}/runs", tags=["runs"], responses=responses())

DEFAULT_SPAN = timedelta(days=7)


@router.get("/", summary="List runs")
async def list_runs(
    request: Request,
    export_id: ExportId,
    unit: UnitOfWork,
    access: ReadAccess,
    cursor: Annotated[Cursor | None, Depends(page_cursor)],
    status: Annotated[
        list[str] | None,
        WithJsonSchema({"type": "array", "items": {"type": "string", "enum": [*RunStatus, ""]}}),
        Query(description="Only runs in this status; may be repeated."),
    ] = None,
    ordering: Annotated[
        str | None,
        lenient({"type": "string", "enum": ORDERINGS}, DEFAULT_ORDERING),
        Query(description="What the list is ordered by; `-` is descending."),
    ] = None,
    after: Annotated[Moment, Query(description="Created at or after this; ISO 8601 or like `-7d`.")] = None,
    before: Annotated[Moment, Query(description="Created at or before this.")] = None,
    start: Annotated[Moment, Query(description="With ordering by `data_interval_start`: windows from here.")] = None,
    end: Annotated[Moment, Query(description="With ordering by `data_interval_start`: windows up to here.")] = None,
) -> CursorPage[RunRead]:
    order = ordering if ordering in ORDERINGS else DEFAULT_ORDERING
    now = unit.runtime.clock()
    if order.endswith("data_interval_start"):
        least, most = _span(start, end, now, ("start", "end"))
        wanted = RunFilter(_statuses(status), interval_start=least, interval_end=most)
    else:
        least, most = _span(after, before, now, ("after", "before"))
        wanted = RunFilter(_statuses(status), created_after=least, created_before=most if before else None)
    runs, more = await RunService(unit, access).page(export_id, wanted, order, cursor)
    links = cursor_links(request, cursor, runs, order.removeprefix("-"), more=more)
    return CursorPage(**links, results=[RunRead.of(run) for run in runs])


@router.get("/{run_id}/", summary="Retrieve a run")
async def retrieve_run(export_id: ExportId, run_id: RunId, unit: UnitOfWork, access: ReadAccess) -> RunRead:
    return RunRead.of(await RunService(unit, access).get(export_id, run_id))


@router.get("/{run_id}/files/", summary="List the objects that a run has left")
async def list_files(export_id: ExportId, run_id: RunId, unit: UnitOfWork, access: ReadAccess) -> FilesRead:
    return FilesRead.of(*await RunService(unit, access).files(export_id, run_id))


@router.post("/{run_id}/cancel/", summary="Cancel a run")
async def cancel_run(export_id: ExportId, run_id: RunId, unit: UnitOfWork, access: WriteAccess) -> RunCancelled:
    await RunService(unit, access).cancel(export_id, run_id)
    return RunCancelled()


def _span(least: str | None, most: str | None, now: datetime, names: tuple[str, str]) -> tuple[datetime, datetime]:
    """The last seven days, unless said otherwise (the contract's section 2.1)."""
    return (
        parse_moment(least, now, names[0]) if least else now - DEFAULT_SPAN,
        parse_moment(most, now, names[1]) if most else now,
    )


def _statuses(texts: list[str] | None) -> list[RunStatus]:
    try:
        return [RunStatus(text) for text in texts or [] if text]
    except ValueError:
        unknown = next(text for text in texts or [] if text not in list(RunStatus))
        detail = f"Select a valid choice. {unknown} is not one of the available choices."
        raise ValidationFailed(detail, code="invalid_choice", attr="status") from None
