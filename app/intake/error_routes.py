"""What was wrong with a project's events, for those who look after its apps."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from app.http.access import ReadAccess
from app.http.errors import responses
from app.http.paging import OffsetPage, Slice, offset_links, page_slice
from app.http.unit import UnitOfWork
from app.intake.repository import IngestionErrors
from app.intake.schemas import IngestionErrorRead

router = APIRouter(prefix="/ingestion_errors", tags=["intake"], responses=responses())


@router.get("/", summary="List what was wrong with events")
async def list_ingestion_errors(
    request: Request, unit: UnitOfWork, access: ReadAccess, page: Annotated[Slice, Depends(page_slice)]
) -> OffsetPage[IngestionErrorRead]:
    """Newest first: events that were refused, and those that were stored without what was wrong with them."""
    rows, count = await IngestionErrors(unit.runtime.settings).page(access.project_ids, page.limit, page.offset)
    results = [IngestionErrorRead.model_validate(row) for row in rows]
    return OffsetPage(count=count, results=results, **offset_links(request, page, count))
