"""Logs of an export, on every mount; of one run, under projects and environments."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from pydantic import WithJsonSchema

from app.errors import ValidationFailed
from app.http.access import ReadAccess
from app.http.dates import Moment, parse_moment
from app.http.errors import responses
from app.http.paging import OffsetPage, Slice, offset_links, page_slice, strict_limit
from app.http.paths import ExportId, RunId
from app.http.unit import UnitOfWork
from app.logs.lines import Level
from app.logs.repository import LogFilter
from app.logs.schemas import LogRead
from app.logs.service import LogService

DEFAULT_LIMIT = 50
MAX_LIMIT = 500
SPELLINGS = {"WARN": Level.WARNING}
"""Other names of levels."""

router = APIRouter(prefix="/batch_exports/{export_id}", tags=["logs"], responses=responses())
"""Of an export."""
runs = APIRouter(prefix="/batch_exports/{export_id}/runs/{run_id}", tags=["logs"], responses=responses())
"""Of one run."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which lines, and which page of them."""

    lines: LogFilter
    page: Slice


async def wanted_lines(
    unit: UnitOfWork,
    _: ReadAccess,  # who may not read is told so before what else is wrong
    where: Annotated[Slice, Depends(page_slice)],
    limit: Annotated[
        str | None,
        WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}),
        Query(description="Lines."),
    ] = None,
    after: Annotated[Moment, Query(description="Later than this; ISO 8601 or like `-7d`.")] = None,
    before: Annotated[Moment, Query(description="Earlier than this.")] = None,
    level: Annotated[
        list[str] | None,
        WithJsonSchema({"type": "array", "items": {"type": "string"}}),
        Query(description="Levels, comma-separated or repeated: `DEBUG`, `INFO`, `WARNING`, `ERROR`."),
    ] = None,
    search: Annotated[
        str | None, WithJsonSchema({"type": "string"}), Query(description="Part of the message, in whatever case.")
    ] = None,
) -> Wanted:
    now = unit.runtime.clock()
    if search and "\x00" in search:
        raise ValidationFailed("Null characters are not allowed.", code="null_characters_not_allowed", attr="search")
    lines = LogFilter(
        after=_moment(after, now, "after"),
        before=_moment(before, now, "before"),
        levels=_levels(level or ()),
        search=search,
    )
    return Wanted(lines, Slice(strict_limit(limit, DEFAULT_LIMIT, MAX_LIMIT), where.offset))


Lines = Annotated[Wanted, Depends(wanted_lines)]


@router.get("/logs/", summary="Read the log of an export")
async def list_export_logs(
    request: Request,
    export_id: ExportId,
    unit: UnitOfWork,
    access: ReadAccess,
    wanted: Lines,
    instance_id: Annotated[
        str | None, WithJsonSchema({"type": "string"}), Query(description="Only lines of the run with this id.")
    ] = None,
) -> OffsetPage[LogRead]:
    service = LogService(unit, access)
    page = wanted.page
    entries, count = await service.of_export(export_id, wanted.lines, instance_id, page.limit, page.offset)
    return OffsetPage(
        count=count, results=[LogRead.of(entry) for entry in entries], **offset_links(request, page, count)
    )


@runs.get("/logs/", summary="Read the log of a run")
async def list_run_logs(
    request: Request, export_id: ExportId, run_id: RunId, unit: UnitOfWork, access: ReadAccess, wanted: Lines
) -> OffsetPage[LogRead]:
    page = wanted.page
    entries, count = await LogService(unit, access).of_run(export_id, run_id, wanted.lines, page.limit, page.offset)
    return OffsetPage(
        count=count, results=[LogRead.of(entry) for entry in entries], **offset_links(request, page, count)
    )


def _moment(text: str | None, now: datetime, attr: str) -> datetime | None:
    return parse_moment(text, now, attr) if text else None


def _levels(texts: list[str] | tuple[str, ...]) -> list[Level]:
    names = [name.strip() for text in texts for name in text.split(",") if name.strip()]
    return [_level(name) for name in names]


def _level(name: str) -> Level:
    upper = name.upper()
    try:
        return SPELLINGS.get(upper) or Level(upper)
    except ValueError:
        raise ValidationFailed(f'"{name}" is not a valid choice.', code="invalid_choice", attr="level") from None
