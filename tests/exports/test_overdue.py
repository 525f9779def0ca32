"""People are told of intervals that should have been exported by now, once a day, and of no others."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import httpx
import pytest

from app.exports import overdue
from app.exports.overdue import OverdueWatch
from app.models import Export, Interval, RunStatus
from app.runtime import Runtime
from app.telemetry import INTERVALS_OVERDUE
from tests.conftest import Clock
from tests.exports.ending import add_export, end, runs_of, tick, told, warnings
from tests.factories import make_backfill, utc
from tests.http.callers import Tenant

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
START = utc(2026, 1, 1)
SETTLED = timedelta(seconds=30)
SPANS = {
    Interval.EVERY_5_MINUTES: 5 * MINUTE,
    Interval.EVERY_15_MINUTES: 15 * MINUTE,
    Interval.HOUR: HOUR,
    Interval.DAY: 24 * HOUR,
    Interval.WEEK: 7 * 24 * HOUR,
}
ALLOWED = {
    Interval.EVERY_5_MINUTES: 16 * MINUTE,
    Interval.EVERY_15_MINUTES: 18 * MINUTE,
    Interval.HOUR: 75 * MINUTE,
    Interval.DAY: 24 * HOUR + 20 * MINUTE,
    Interval.WEEK: 7 * 24 * HOUR + 30 * MINUTE,
}
"""Besides the time to settle."""


async def look(runtime: Runtime, now: datetime, **settings: object) -> float:
    """How many are overdue then."""
    await OverdueWatch.of(runtime.sessions, runtime.settings.model_copy(update=settings)).look(now)
    return float(INTERVALS_OVERDUE._value.get())


@pytest.mark.parametrize("interval", [*Interval])
@pytest.mark.parametrize("status", [RunStatus.STARTING, RunStatus.RUNNING])
async def test_a_run_that_has_not_ended_in_time_is_overdue(
    runtime: Runtime, interval: Interval, status: RunStatus
) -> None:
    start = utc(2026, 1, 4)
    export_id = await add_export(runtime, next_start=start, interval=interval, end_at=start + SPANS[interval])
    closed = start + SPANS[interval]
    await tick(runtime, closed)
    [run] = await runs_of(runtime, export_id)
    if status is RunStatus.RUNNING:
        async with runtime.sessions.begin() as session:
            run.status = status
            await session.merge(run)
    limit = closed + SETTLED + ALLOWED[interval]
    assert await look(runtime, limit) == 0
    assert await told(runtime, export_id) == []
    assert await look(runtime, limit + MINUTE) == 1
    assert await told(runtime, export_id) == ["interval_overdue"]
    await end(runtime, run, RunStatus.COMPLETED)
    assert await look(runtime, limit + 2 * MINUTE) == 0


async def test_the_line_names_how_many_and_the_oldest(runtime: Runtime) -> None:
    export_id = await add_export(runtime, next_start=START)
    await tick(runtime, START + 3 * HOUR)
    [first, *_] = await runs_of(runtime, export_id)
    await end(runtime, first, RunStatus.COMPLETED)
    assert await look(runtime, START + 5 * HOUR) == 2
    assert await warnings(runtime, export_id) == [
        "2 intervals should have been exported by now, the oldest of them 2026-01-01T01:00:00Z to "
        "2026-01-01T02:00:00Z. See whether workers are running, and whether the event store and the destination answer."
    ]


async def test_once_a_day_and_by_one_of_many(runtime: Runtime) -> None:
    export_id = await add_export(runtime, next_start=START)
    await tick(runtime, START + HOUR)
    await asyncio.gather(*(look(runtime, START + 5 * HOUR) for _ in range(5)))
    await look(runtime, START + 6 * HOUR)
    assert len(await warnings(runtime, export_id)) == 1
    await look(runtime, START + 24 * HOUR)
    assert await told(runtime, export_id) == ["interval_overdue"] * 2
    assert len(await warnings(runtime, export_id)) == 2


async def test_a_crowd_is_told_in_some_passes(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overdue, "TOLD_PER_PASS", 2)
    for _ in range(5):
        await add_export(runtime, next_start=START)
    await tick(runtime, START + HOUR)
    for _ in range(3):
        assert await look(runtime, START + 3 * HOUR) == 5
    assert await told(runtime) == ["interval_overdue"] * 5


async def test_windows_that_no_tick_comes_to_are_overdue_too(runtime: Runtime) -> None:
    export_id = await add_export(runtime, next_start=START)
    allowed = SETTLED + ALLOWED[Interval.HOUR]
    assert await look(runtime, START + HOUR + allowed) == 0
    assert await told(runtime) == []
    assert await look(runtime, START + 3 * HOUR + allowed + MINUTE) == 1
    [line] = await warnings(runtime, export_id)
    assert line.startswith("3 intervals should have been exported by now, the oldest of them 2026-01-01T00:00:00Z")


async def test_unmade_and_unfinished_ones_are_told_of_together(runtime: Runtime) -> None:
    export_id = await add_export(runtime, next_start=START)
    await tick(runtime, START + 2 * HOUR)
    await look(runtime, START + 10 * HOUR)
    [line] = await warnings(runtime, export_id)
    # Of ten closed windows, those that ended within the last 75 and a half minutes are not late yet.
    assert line.startswith("8 intervals should have been exported by now, the oldest of them 2026-01-01T00:00:00Z")


async def test_the_settings_decide(runtime: Runtime) -> None:
    await add_export(runtime, next_start=START, end_at=START + HOUR)
    await tick(runtime, START + HOUR)
    soon = {"overdue_after": 5 * MINUTE, "schedule_jitter": 0.0}
    assert await look(runtime, START + HOUR + SETTLED + 5 * MINUTE, **soon) == 0
    assert await look(runtime, START + HOUR + SETTLED + 6 * MINUTE, **soon) == 1


@pytest.mark.parametrize(
    "values", [{"paused": True}, {"deleted": True}, {"end_at": START}, {"end_at": START + HOUR / 2}]
)
async def test_what_is_stopped_or_has_ended_is_never_overdue(runtime: Runtime, values: dict[str, Any]) -> None:
    await add_export(runtime, next_start=START, **values)
    await tick(runtime, START + HOUR)
    await look(runtime, START + 50 * HOUR)
    assert await told(runtime) == []


async def test_runs_of_before_a_pause_are_late_and_the_pause_itself_is_not(
    api: httpx.AsyncClient, runtime: Runtime, clock: Clock, tenant: Tenant
) -> None:
    clock.now = START + HOUR
    export_id = await add_export(runtime, tenant.project_id, next_start=START)
    url = f"/batch_exports/{export_id}/"
    await api.post(f"{url}pause/")
    [run] = await runs_of(runtime, export_id)
    clock.now += 48 * HOUR
    await look(runtime, clock.now)
    assert await told(runtime, export_id) == []
    await end(runtime, run, RunStatus.COMPLETED)
    await api.post(f"{url}unpause/")
    await look(runtime, clock.now)
    clock.now += 2 * HOUR
    await tick(runtime, clock.now)
    assert await look(runtime, clock.now) == 0
    assert await told(runtime, export_id) == []


async def test_runs_of_backfills_are_none(runtime: Runtime) -> None:
    export_id = await add_export(runtime, next_start=START + 5 * HOUR)
    await tick(runtime, START + 6 * HOUR)
    [run] = await runs_of(runtime, export_id)
    async with runtime.sessions.begin() as session:
        backfill = await make_backfill(session, await session.get_one(Export, export_id), status="Running")
        run.backfill_id = backfill.id
        await session.merge(run)
    assert await look(runtime, START + 7 * HOUR) == 0
