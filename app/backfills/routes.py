"""Backfills of an export: nested under projects and environments."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from app.backfills.schemas import (
    BackfillCancelled,
    BackfillCreated,
    BackfillRead,
    BackfillStarted,
    BackfillWrite,
    Unpause,
    workflow_id,
)
from app.backfills.service import DEFAULT_ORDERING, ORDERINGS, BackfillService
from app.exports.schemas import Paused
from app.http.access import ReadAccess, WriteAccess
from app.http.body import BodyRoute, Draft
from app.http.errors import responses
from app.http.paging import Cursor, CursorPage, cursor_links, lenient, page_cursor
from app.http.paths import BackfillId, ExportId, RunId
from app.http.unit import UnitOfWork

router = APIRouter(
    prefix="/batch_exports/{export_id}/backfills",
    tags=["backfills"],
    responses=responses(413, 429),
    route_class=BodyRoute,
)


@router.get("/", summary="List backfills")
async def list_backfills(
    request: Request,
    export_id: ExportId,
    unit: UnitOfWork,
    access: ReadAccess,
    cursor: Annotated[Cursor | None, Depends(page_cursor)],
    ordering: Annotated[
        str | None,
        lenient({"type": "string", "enum": ORDERINGS}, DEFAULT_ORDERING),
        Query(description="What the list is ordered by; `-` is descending."),
    ] = None,
) -> CursorPage[BackfillRead]:
    order = ordering if ordering in ORDERINGS else DEFAULT_ORDERING
    service = BackfillService(unit, access)
    backfills, more = await service.page(export_id, order, cursor)
    links = cursor_links(request, cursor, backfills, order.removeprefix("-"), more=more)
    return CursorPage(**links, results=await service.read(backfills))


@router.post("/", status_code=201, summary="Start a backfill")
async def create_backfill(
    export_id: ExportId, unit: UnitOfWork, access: WriteAccess, body: Draft[BackfillWrite]
) -> BackfillCreated:
    return BackfillCreated(backfill_id=(await BackfillService(unit, access).start(export_id, body)).id)


@router.get("/{backfill_id}/", summary="Retrieve a backfill")
async def retrieve_backfill(
    export_id: ExportId, backfill_id: BackfillId, unit: UnitOfWork, access: ReadAccess
) -> BackfillRead:
    service = BackfillService(unit, access)
    [backfill] = await service.read([await service.get(export_id, backfill_id)])
    return backfill


@router.post("/{backfill_id}/cancel/", summary="Cancel a backfill and its runs")
async def cancel_backfill(
    export_id: ExportId, backfill_id: BackfillId, unit: UnitOfWork, access: WriteAccess
) -> BackfillCancelled:
    await BackfillService(unit, access).cancel(export_id, backfill_id)
    return BackfillCancelled()


actions = APIRouter(prefix="/batch_exports/{export_id}", responses=responses(413, 429), route_class=BodyRoute)
"""Routes of an export that may start a backfill; on every mount."""


@actions.post(
    "/unpause/",
    tags=["exports"],
    summary="Unpause an export",
    openapi_extra={"requestBody": {"required": False}},
)
async def unpause_export(export_id: ExportId, unit: UnitOfWork, access: WriteAccess, body: Draft[Unpause]) -> Paused:
    await BackfillService(unit, access).unpause(export_id, body)
    return Paused(paused=False)


@actions.post("/backfill/", tags=["backfills"], summary="Start a backfill", deprecated=True)
async def start_backfill(
    export_id: ExportId, unit: UnitOfWork, access: WriteAccess, body: Draft[BackfillWrite]
) -> BackfillStarted:
    backfill = await BackfillService(unit, access).start(export_id, body)
    return BackfillStarted(backfill_id=workflow_id(export_id, backfill.start_at, backfill.end_at))


retries = APIRouter(prefix="/batch_exports/{export_id}/runs/{run_id}", tags=["runs"], responses=responses())
"""A retry of a run is a backfill of its window; under projects and environments."""


@retries.post("/retry/", status_code=201, summary="Retry a run")
async def retry_run(export_id: ExportId, run_id: RunId, unit: UnitOfWork, access: WriteAccess) -> BackfillStarted:
    return BackfillStarted(backfill_id=await BackfillService(unit, access).retry(export_id, run_id))
