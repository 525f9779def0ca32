"""Due windows become rows, whatever was missed and however many schedulers there are."""

import asyncio
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from app.exports import due
from app.exports.due import DueWindows
from app.logs.lines import Level, Line
from app.logs.repository import LogRepository
from app.models import Export, Interval, LogEntry, Run
from app.runtime import Runtime
from app.scheduling.jitter import jitter
from app.scheduling.tick import Ticked, Ticker
from tests.factories import make_export, utc

SETTLE = timedelta(seconds=30)


async def tick(runtime: Runtime, now: datetime, limit: int = 10_000) -> Ticked:
    return await Ticker(runtime.sessions, lambda: now, DueWindows(SETTLE, limit)).tick()


async def add_export(runtime: Runtime, **values: object) -> UUID:
    async with runtime.sessions.begin() as session:
        return (await make_export(session, runtime.cipher, **values)).id  # type: ignore[arg-type]


async def starts(runtime: Runtime, export_id: UUID) -> list[datetime]:
    async with runtime.sessions() as session:
        query = select(Run.data_interval_start).where(Run.export_id == export_id).order_by(Run.data_interval_start)
        return [start for start in await session.scalars(query) if start is not None]


async def test_a_closed_window_becomes_a_run_that_waits_to_settle(runtime: Runtime) -> None:
    export_id = await add_export(runtime, next_start=utc(2026, 1, 1, 5))
    assert (await tick(runtime, utc(2026, 1, 1, 6))).created == 1
    async with runtime.sessions() as session:
        run = (await session.scalars(select(Run))).one()
        export = await session.get_one(Export, export_id)
    assert (run.data_interval_start, run.data_interval_end) == (utc(2026, 1, 1, 5), utc(2026, 1, 1, 6))
    assert run.not_before == run.data_interval_end + SETTLE
    assert (run.backfill_id, run.select_by) == (None, "ingested_at")
    assert export.next_start == utc(2026, 1, 1, 6)


async def test_an_open_window_makes_no_run(runtime: Runtime) -> None:
    await add_export(runtime, next_start=utc(2026, 1, 1, 5))
    assert (await tick(runtime, utc(2026, 1, 1, 5, 59))).created == 0


async def test_a_missed_day_is_made_up_in_passes(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(due, "WINDOWS_PER_PASS", 10)
    export_id = await add_export(runtime, next_start=utc(2026, 1, 1))
    now = utc(2026, 1, 2)
    assert [(await tick(runtime, now)).created for _ in range(4)] == [10, 10, 4, 0]
    assert await starts(runtime, export_id) == [utc(2026, 1, 1, hour) for hour in range(24)]


async def test_after_too_long_a_time_the_newest_windows_are_made_up_and_the_log_tells_of_the_others(
    runtime: Runtime,
) -> None:
    export_id = await add_export(runtime, next_start=utc(2026, 1, 1))
    other = await add_export(runtime, next_start=utc(2026, 1, 1, 20))
    assert [(await tick(runtime, utc(2026, 1, 2, 0, 30), limit=4)).created for _ in range(2)] == [8, 0]
    assert await starts(runtime, export_id) == [utc(2026, 1, 1, hour) for hour in range(20, 24)]
    assert await starts(runtime, other) == await starts(runtime, export_id)
    async with runtime.sessions() as session:
        [line] = (await session.scalars(select(LogEntry))).all()
    assert (line.export_id, line.run_id, line.level, line.timestamp) == (
        export_id,
        None,
        "WARNING",
        utc(2026, 1, 2, 0, 30),
    )
    assert line.message == (
        "The service was down for longer than it makes up for: 20 intervals from 2026-01-01T00:00:00Z to "
        "2026-01-01T20:00:00Z are skipped, the newest 4 are run. A backfill exports the rest."
    )


async def test_windows_that_would_not_have_fired_count_as_none_that_are_skipped(runtime: Runtime) -> None:
    bounds = {"start_at": utc(2026, 1, 1, 2, 30), "end_at": utc(2026, 1, 1, 5, 30)}
    export_id = await add_export(runtime, next_start=utc(2026, 1, 1), **bounds)
    assert (await tick(runtime, utc(2026, 1, 3), limit=3)).created == 3
    assert await starts(runtime, export_id) == [utc(2026, 1, 1, hour) for hour in (2, 3, 4)]
    async with runtime.sessions() as session:
        assert (await session.scalars(select(LogEntry))).all() == []


async def test_fifty_ticks_at_once_make_each_run_once(runtime: Runtime) -> None:
    export_id = await add_export(runtime, next_start=utc(2026, 1, 1))
    ticked = await asyncio.gather(*(tick(runtime, utc(2026, 1, 1, 3)) for _ in range(50)))
    assert sum(one.created for one in ticked) == 3
    assert await starts(runtime, export_id) == [utc(2026, 1, 1, hour) for hour in range(3)]


async def test_a_tick_that_forgot_its_progress_doubles_nothing(runtime: Runtime) -> None:
    export_id = await add_export(runtime, next_start=utc(2026, 1, 1))
    await tick(runtime, utc(2026, 1, 1, 3))
    async with runtime.sessions.begin() as session:
        (await session.get_one(Export, export_id)).next_start = utc(2026, 1, 1)
    assert (await tick(runtime, utc(2026, 1, 1, 4))).created == 1
    assert len(await starts(runtime, export_id)) == 4


async def test_an_export_that_cannot_be_scheduled_stops_no_other(runtime: Runtime) -> None:
    await add_export(runtime, interval="day", timezone="Atlantis/Poseidonis")
    export_id = await add_export(runtime, next_start=utc(2026, 1, 1))
    assert (await tick(runtime, utc(2026, 1, 1, 2))).created == 2
    assert await starts(runtime, export_id) == [utc(2026, 1, 1), utc(2026, 1, 1, 1)]


async def test_paused_and_deleted_exports_make_no_runs(runtime: Runtime) -> None:
    await add_export(runtime, paused=True)
    await add_export(runtime, deleted=True)
    assert (await tick(runtime, utc(2026, 1, 2))).created == 0


async def test_start_at_and_end_at_bound_when_runs_fire(runtime: Runtime) -> None:
    export_id = await add_export(
        runtime, next_start=utc(2026, 1, 1), start_at=utc(2026, 1, 1, 2), end_at=utc(2026, 1, 1, 4)
    )
    await tick(runtime, utc(2026, 1, 2))
    assert await starts(runtime, export_id) == [utc(2026, 1, 1, hour) for hour in (1, 2, 3)]


@pytest.mark.parametrize("end_at", [utc(2026, 1, 1, 2), utc(2026, 1, 1, 2, 30)])
async def test_a_schedule_that_has_ended_is_looked_at_no_more(runtime: Runtime, end_at: datetime) -> None:
    export_id = await add_export(runtime, next_start=utc(2026, 1, 1), end_at=end_at)
    assert [(await tick(runtime, utc(2026, 1, 2))).created for _ in range(2)] == [2, 0]
    async with runtime.sessions() as session:
        export = await session.get_one(Export, export_id)
    assert export.next_start >= end_at
    assert not export.paused


async def test_a_schedule_that_has_yet_to_start_passes_what_comes_before(runtime: Runtime) -> None:
    export_id = await add_export(runtime, next_start=utc(2026, 1, 1), start_at=utc(2026, 2, 1))
    assert (await tick(runtime, utc(2026, 1, 1, 5, 30))).created == 0
    async with runtime.sessions() as session:
        assert (await session.get_one(Export, export_id)).next_start == utc(2026, 1, 1, 5)


async def test_jitter_moves_when_a_run_begins_and_never_its_bounds(runtime: Runtime) -> None:
    export_id = await add_export(runtime, next_start=utc(2026, 1, 1, 5))
    now = utc(2026, 1, 1, 6)
    await Ticker(runtime.sessions, lambda: now, DueWindows(SETTLE, 1000, jitter=1.0)).tick()
    async with runtime.sessions() as session:
        run = (await session.scalars(select(Run))).one()
    assert (run.data_interval_start, run.data_interval_end) == (utc(2026, 1, 1, 5), now)
    delay = jitter(export_id, now, Interval.HOUR, 1.0)
    assert timedelta(0) < delay < timedelta(minutes=15)
    assert run.not_before == now + SETTLE + delay


async def test_old_log_lines_are_pruned(runtime: Runtime) -> None:
    now, age = utc(2026, 6, 1), timedelta(days=30)
    async with runtime.sessions.begin() as session:
        moments = [now - age - timedelta(seconds=1), now - age, now]
        lines = [(moment, Line(uuid4(), None, Level.INFO, "hello")) for moment in moments]
        await LogRepository(session).add(lines)
    await Ticker(runtime.sessions, lambda: now, DueWindows(SETTLE, 1000), log_retention=age).tick()
    async with runtime.sessions() as session:
        assert list(await session.scalars(select(LogEntry.timestamp).order_by(LogEntry.timestamp))) == moments[1:]


async def test_every_interval_gets_its_windows(runtime: Runtime) -> None:
    monday = utc(2026, 1, 5)
    expected = {"every 5 minutes": 2016, "every 15 minutes": 672, "hour": 168, "day": 7, "week": 0}
    exports = {name: await add_export(runtime, interval=name, next_start=monday) for name in expected if name != "week"}
    exports["week"] = await add_export(runtime, interval="week", next_start=utc(2026, 1, 4))
    for _ in range(3):
        await tick(runtime, monday + timedelta(days=7))
    expected["week"] = 1
    assert {name: len(await starts(runtime, export_id)) for name, export_id in exports.items()} == expected


async def test_waiting_runs_and_backfills_are_named(runtime: Runtime) -> None:
    await add_export(runtime, next_start=utc(2026, 1, 1))
    first = await tick(runtime, utc(2026, 1, 1, 2))
    assert len(first.runs) == 2
    assert replace(first, created=0) == await tick(runtime, utc(2026, 1, 1, 2))
