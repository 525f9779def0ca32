"""What became of every interval of an export: the list of them that people see."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import chain, islice
from typing import Final
from uuid import UUID

from pydantic import BaseModel, Field
from sqlalchemy import select

from app.db.repository import Repository
from app.exports.due import due_range
from app.exports.schedules import schedule_of
from app.exports.service import ExportService
from app.models import Export, Run, RunStatus
from app.scheduling.intervals import Schedule, Window
from app.tenants.access import Access
from app.unit import Unit

MOMENT: Final = timedelta(microseconds=1)


class IntervalState(StrEnum):
    COMPLETED = "completed"
    RUNNING = "running"
    FAILED = "failed"
    CANCELLED = "cancelled"
    WAITING = "waiting"
    MISSING = "missing"


STATES: Final[Mapping[str, IntervalState]] = {
    RunStatus.STARTING: IntervalState.WAITING,
    RunStatus.RUNNING: IntervalState.RUNNING,
    RunStatus.COMPLETED: IntervalState.COMPLETED,
    RunStatus.CANCELLED: IntervalState.CANCELLED,
    RunStatus.TERMINATED: IntervalState.CANCELLED,
    RunStatus.CONTINUED_AS_NEW: IntervalState.CANCELLED,
    RunStatus.FAILED: IntervalState.FAILED,
    RunStatus.FAILED_RETRYABLE: IntervalState.FAILED,
    RunStatus.FAILED_BILLING: IntervalState.FAILED,
    RunStatus.TIMED_OUT: IntervalState.FAILED,
}


class IntervalRead(BaseModel):
    data_interval_start: datetime
    data_interval_end: datetime
    state: IntervalState = Field(
        description="`waiting`: there is no run yet, or no worker has taken it. `missing`: there should be a run, and "
        "there is none; one is made within minutes. Backfills and retries change nothing here."
    )
    run: UUID | None = Field(description="The id of the scheduled run.")


class IntervalsRead(BaseModel):
    results: list[IntervalRead]


@dataclass(frozen=True, slots=True)
class IntervalFilter:
    """``start`` and ``end`` bound whole windows, inclusively."""

    limit: int
    start: datetime | None = None
    end: datetime | None = None


class IntervalService:
    def __init__(self, unit: Unit, access: Access) -> None:
        self._session = unit.session
        self._now = unit.runtime.clock()
        self._exports = ExportService(unit, access)

    async def newest(self, export_id: UUID, wanted: IntervalFilter) -> list[IntervalRead]:
        """Closed windows of the schedule, and those of earlier schedules that have a run, newest first.

        :raises app.errors.NotFound: for an export that is deleted, or another project's.
        """
        export = await self._exports.get(export_id)
        runs = await ScheduledRuns(self._session).newest(export_id, wanted)
        scheduled = islice(_scheduled(export, self._now, wanted), wanted.limit)
        windows = {(window.start, window.end) for window in chain(runs, scheduled)}
        return [
            _read(export, Window(start, end), runs.get(Window(start, end)))
            for start, end in sorted(windows, reverse=True)[: wanted.limit]
        ]


class ScheduledRuns(Repository):
    async def newest(self, export_id: UUID, wanted: IntervalFilter) -> dict[Window, Run]:
        start, end = Run.data_interval_start, Run.data_interval_end
        query = select(Run).where(Run.export_id == export_id, Run.backfill_id.is_(None))
        if wanted.start is not None:
            query = query.where(start >= wanted.start)
        if wanted.end is not None:
            query = query.where(end <= wanted.end)
        runs = await self.session.scalars(query.order_by(start.desc(), end.desc()).limit(wanted.limit))
        return {Window(run.data_interval_start, run.data_interval_end): run for run in runs}


def _scheduled(export: Export, now: datetime, wanted: IntervalFilter) -> Iterator[Window]:
    """What is due by the schedule as it is, newest first. A paused one has nothing due behind what it has run."""
    schedule = schedule_of(export)
    if not export.paused:
        yield from _backwards(schedule, *due_range(export, now), wanted)
    yield from _backwards(schedule, export.accounted_from, export.next_start, wanted)


def _backwards(schedule: Schedule, least: datetime, boundary: datetime, wanted: IntervalFilter) -> Iterator[Window]:
    """Windows that end by ``boundary`` and begin at or after ``least``, the newest first."""
    if wanted.start is not None:
        least = max(least, wanted.start)
    if wanted.end is not None and wanted.end < boundary:
        if wanted.end <= least:
            return
        boundary = schedule.align(wanted.end)
    end = boundary
    while (start := schedule.align(end - MOMENT)) >= least:
        yield Window(start, end)
        end = start


def _read(export: Export, window: Window, run: Run | None) -> IntervalRead:
    assert window.start is not None
    if run is not None:
        state = STATES[run.status]
    else:
        state = IntervalState.WAITING if window.start >= export.next_start else IntervalState.MISSING
    return IntervalRead(data_interval_start=window.start, data_interval_end=window.end, state=state, run=run and run.id)
