"""Intervals of an export: nested under projects and environments. No part of the contract."""

from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import WithJsonSchema

from app.exports.intervals import IntervalFilter, IntervalService, IntervalsRead
from app.http.access import ReadAccess
from app.http.dates import Moment, parse_moment
from app.http.errors import responses
from app.http.paging import strict_limit
from app.http.paths import ExportId
from app.http.unit import UnitOfWork

DEFAULT_LIMIT = 100
MAX_LIMIT = 500

router = APIRouter(prefix="/batch_exports/{export_id}/intervals", tags=["intervals"], responses=responses())


@router.get("/", summary="List intervals and their state")
async def list_intervals(
    export_id: ExportId,
    unit: UnitOfWork,
    access: ReadAccess,
    limit: Annotated[
        str | None,
        WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT}),
        Query(description="Intervals, the newest ones."),
    ] = None,
    start: Annotated[Moment, Query(description="Intervals from here; ISO 8601 or like `-7d`.")] = None,
    end: Annotated[Moment, Query(description="Intervals up to here.")] = None,
) -> IntervalsRead:
    now = unit.runtime.clock()
    wanted = IntervalFilter(
        strict_limit(limit, DEFAULT_LIMIT, MAX_LIMIT),
        parse_moment(start, now, "start") if start else None,
        parse_moment(end, now, "end") if end else None,
    )
    return IntervalsRead(results=await IntervalService(unit, access).newest(export_id, wanted))
