"""File downloads: nested under projects and environments."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request
from fastapi.responses import RedirectResponse
from pydantic import BeforeValidator

from app.downloads.counting import count_rows
from app.downloads.schemas import (
    CountWrite,
    DownloadCancelled,
    DownloadCreated,
    DownloadListed,
    DownloadRead,
    DownloadWrite,
    RowsCounted,
)
from app.downloads.service import DownloadService
from app.http.access import ReadAccess, WriteAccess
from app.http.body import BodyRoute, Draft
from app.http.errors import responses
from app.http.paging import OffsetPage, Slice, offset_links, page_slice
from app.http.paths import parse_uuid
from app.http.throttle import throttle_counts
from app.http.unit import UnitOfWork
from app.logs.routes import Lines
from app.logs.schemas import LogRead

DownloadId = Annotated[UUID, BeforeValidator(parse_uuid), Path(description="A file download's id.")]
Part = Annotated[str, Path(description="A file's id, or its place among the files, from 0.")]
NO_STORE = {"Cache-Control": "no-store"}
LINK: dict[int | str, dict[str, Any]] = {
    302: {
        "model": None,
        "description": "The file is at `Location`: a link that works for a while, for whoever has it.",
        "headers": {"Location": {"schema": {"type": "string"}}, "Cache-Control": {"schema": {"const": "no-store"}}},
    }
}

router = APIRouter(
    prefix="/file_download_batch_exports",
    tags=["file downloads"],
    responses=responses(413, 429),
    route_class=BodyRoute,
)


@router.get("/", summary="List file downloads")
async def list_downloads(
    request: Request, unit: UnitOfWork, access: ReadAccess, where: Annotated[Slice, Depends(page_slice)]
) -> OffsetPage[DownloadListed]:
    downloads, count = await DownloadService(unit, access).page(where.limit, where.offset)
    return OffsetPage(count=count, results=downloads, **offset_links(request, where, count))


@router.post("/", status_code=202, summary="Export once, to files for downloading")
async def create_download(unit: UnitOfWork, access: WriteAccess, body: Draft[DownloadWrite]) -> DownloadCreated:
    return DownloadCreated(id=await DownloadService(unit, access).start(body))


@router.post(
    "/count_rows/",
    summary="Count the rows of a query",
    dependencies=[Depends(throttle_counts)],
)
async def count_download_rows(unit: UnitOfWork, access: WriteAccess, body: Draft[CountWrite]) -> RowsCounted:
    return RowsCounted(count=await count_rows(unit, access, body))


@router.get("/{download_id}/", summary="Retrieve a file download", response_model_exclude_unset=True)
async def retrieve_download(download_id: DownloadId, unit: UnitOfWork, access: ReadAccess) -> DownloadRead:
    return await DownloadService(unit, access).read(download_id)


@router.get(
    "/{download_id}/download/",
    status_code=302,
    response_class=RedirectResponse,
    responses=LINK,
    summary="Fetch the first file of a download",
)
async def fetch_first_file(download_id: DownloadId, unit: UnitOfWork, access: ReadAccess) -> RedirectResponse:
    return _redirect(await DownloadService(unit, access).link(download_id, "0"))


@router.get(
    "/{download_id}/download/{part}/",
    status_code=302,
    response_class=RedirectResponse,
    responses=LINK,
    summary="Fetch a file of a download",
)
async def fetch_file(download_id: DownloadId, part: Part, unit: UnitOfWork, access: ReadAccess) -> RedirectResponse:
    return _redirect(await DownloadService(unit, access).link(download_id, part))


@router.post("/{download_id}/cancel/", summary="Cancel a file download")
async def cancel_download(download_id: DownloadId, unit: UnitOfWork, access: WriteAccess) -> DownloadCancelled:
    await DownloadService(unit, access).cancel(download_id)
    return DownloadCancelled()


@router.get("/{download_id}/logs/", summary="Read the log of a file download")
async def list_download_logs(
    request: Request, download_id: DownloadId, unit: UnitOfWork, access: ReadAccess, wanted: Lines
) -> OffsetPage[LogRead]:
    page = wanted.page
    entries, count = await DownloadService(unit, access).log(download_id, wanted.lines, page.limit, page.offset)
    # The download is all that people know of it: the export behind it is on no route.
    results = [LogRead.of(entry).model_copy(update={"log_source_id": download_id}) for entry in entries]
    return OffsetPage(count=count, results=results, **offset_links(request, page, count))


def _redirect(url: str) -> RedirectResponse:
    return RedirectResponse(url, status_code=302, headers=NO_STORE)
