"""Exports: on every mount."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from app.exports.schemas import ExportPatch, ExportRead, ExportWrite, Paused
from app.exports.service import ExportService
from app.http.access import ReadAccess, WriteAccess
from app.http.body import BodyRoute, Draft
from app.http.errors import responses
from app.http.paging import OffsetPage, Slice, offset_links, page_slice
from app.http.paths import ExportId
from app.http.unit import UnitOfWork

router = APIRouter(prefix="/batch_exports", tags=["exports"], responses=responses(413), route_class=BodyRoute)


@router.get("/", summary="List exports")
async def list_exports(
    request: Request, unit: UnitOfWork, access: ReadAccess, where: Annotated[Slice, Depends(page_slice)]
) -> OffsetPage[ExportRead]:
    exports, count = await ExportService(unit, access).page(where.limit, where.offset)
    return OffsetPage(count=count, results=exports, **offset_links(request, where, count))


@router.post("/", status_code=201, summary="Create an export")
async def create_export(unit: UnitOfWork, access: WriteAccess, body: Draft[ExportWrite]) -> ExportRead:
    return await ExportService(unit, access).create(body)


@router.get("/{export_id}/", summary="Retrieve an export")
async def retrieve_export(export_id: ExportId, unit: UnitOfWork, access: ReadAccess) -> ExportRead:
    service = ExportService(unit, access)
    [export] = await service.read([await service.get(export_id)])
    return export


@router.put("/{export_id}/", summary="Replace an export")
async def replace_export(
    export_id: ExportId, unit: UnitOfWork, access: WriteAccess, body: Draft[ExportWrite]
) -> ExportRead:
    return await ExportService(unit, access).replace(export_id, body)


@router.patch("/{export_id}/", summary="Change an export", openapi_extra={"requestBody": {"required": False}})
async def patch_export(
    export_id: ExportId, unit: UnitOfWork, access: WriteAccess, body: Draft[ExportPatch]
) -> ExportRead:
    return await ExportService(unit, access).patch(export_id, body)


@router.delete("/{export_id}/", status_code=204, summary="Delete an export")
async def delete_export(export_id: ExportId, unit: UnitOfWork, access: WriteAccess) -> None:
    await ExportService(unit, access).delete(export_id)


@router.post("/{export_id}/pause/", summary="Pause an export")
async def pause_export(export_id: ExportId, unit: UnitOfWork, access: WriteAccess) -> Paused:
    await ExportService(unit, access).pause(export_id)
    return Paused(paused=True)
