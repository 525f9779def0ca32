"""Backfills, as the API takes and shows them (the contract's sections 3.4, 6.1 and 6.6)."""

import math
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from app.http.text import RequestModel, storable
from app.models import Backfill, BackfillStatus, Export, Interval, SelectBy
from app.models.enums import UNFINISHED_BACKFILL
from app.scheduling.intervals import DAY, FIXED

# Anything, because what is not a date has a text of its own for each interval (section 6.2).
Bound = Annotated[Any, AfterValidator(storable), Field(json_schema_extra={"type": ["string", "null"]})]


class BackfillWrite(RequestModel):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"start_at": "2026-11-02T00:00:00Z", "end_at": "2026-11-03T00:00:00Z"}]}
    )

    start_at: Bound = Field(None, description="ISO 8601 datetime; a plain date for daily and weekly exports.")
    end_at: Bound = Field(None, description="As `start_at`. The last window ends here or before.")
    select_by: SelectBy = Field(
        SelectBy.TIMESTAMP, description="Which time of an event decides: its own, or when it was ingested."
    )


class BackfillCreated(BaseModel):
    backfill_id: UUID


class BackfillStarted(BaseModel):
    """What retries and the deprecated route answer: a text that names the range, not the backfill's id."""

    backfill_id: str


class Unpause(RequestModel):
    model_config = ConfigDict(json_schema_extra={"examples": [{"backfill": False}]})

    backfill: Annotated[bool, Field(strict=True)] = Field(
        False, description="Also export what was missed since the pause."
    )


class BackfillCancelled(BaseModel):
    cancelled: bool = True


class Progress(BaseModel):
    total_runs: int | None
    finished_runs: int | None
    progress: float


class BackfillRead(BaseModel):
    id: UUID
    progress: Progress | None
    start_at: datetime | None
    end_at: datetime | None
    status: BackfillStatus
    created_at: datetime
    finished_at: datetime | None
    last_updated_at: datetime
    total_records_count: int | None
    adjusted_start_at: datetime | None
    select_by: str
    team: int
    batch_export: UUID

    @classmethod
    def of(cls, backfill: Backfill, export: Export, finished_runs: int, now: datetime) -> "BackfillRead":
        return cls(
            id=backfill.id,
            progress=progress_of(backfill, Interval(export.interval), finished_runs, now),
            start_at=backfill.start_at,
            end_at=backfill.end_at,
            status=BackfillStatus(backfill.status),
            created_at=backfill.created_at,
            finished_at=backfill.finished_at,
            last_updated_at=backfill.last_updated_at,
            total_records_count=backfill.total_records_count,
            adjusted_start_at=backfill.adjusted_start_at,
            select_by=backfill.select_by,
            team=backfill.project_id,
            batch_export=backfill.export_id,
        )


def workflow_id(export_id: UUID, start: datetime | None, end: datetime | None) -> str:
    """The contract's name of a backfill by its range (section 6.2)."""
    first = start.isoformat() if start is not None else "START"
    last = end.isoformat() if end is not None else "END"
    return f"{export_id}-Backfill-{first}-{last}"


def progress_of(backfill: Backfill, interval: Interval, finished: int, now: datetime) -> Progress | None:
    """How far it has come; None where that cannot be said."""
    total = _total_runs(backfill, interval, now)
    if backfill.status == BackfillStatus.COMPLETED:
        return Progress(total_runs=total, finished_runs=total, progress=1.0)
    if backfill.status not in UNFINISHED_BACKFILL or not total:
        return None
    if backfill.start_at is None and backfill.adjusted_start_at is None:
        return None
    total = max(total, finished)
    return Progress(total_runs=total, finished_runs=finished, progress=round(finished / total, 1))


def _total_runs(backfill: Backfill, interval: Interval, now: datetime) -> int | None:
    start = backfill.adjusted_start_at or backfill.start_at
    if backfill.total_records_count == 0:
        return 0
    if start is None:
        return 1
    running = now if backfill.status == BackfillStatus.RUNNING else None
    end = backfill.end_at or backfill.finished_at or running
    if end is None:
        return None
    length = FIXED.get(interval) or (7 * DAY if interval is Interval.WEEK else DAY)
    return math.ceil((end - start) / length)
