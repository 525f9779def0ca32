"""Looking at what an export would write before it is there. Before the routes of single exports, whose ids its path
would pass for."""

from fastapi import APIRouter

from app.exports.schemas import ExportWrite
from app.http.access import WriteAccess
from app.http.body import BodyRoute, Draft
from app.http.errors import responses
from app.http.unit import UnitOfWork
from app.preview.schemas import PreviewRead
from app.preview.service import PreviewService

router = APIRouter(prefix="/batch_exports", tags=["exports"], responses=responses(413), route_class=BodyRoute)


@router.post("/preview/", summary="See what an export would write, and store nothing")
async def preview_export(unit: UnitOfWork, access: WriteAccess, body: Draft[ExportWrite]) -> PreviewRead:
    return await PreviewService(unit, access).preview(body)
