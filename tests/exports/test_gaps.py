"""Every due interval has a run: a lost one is found, made and told of, and nothing else ever is."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from sqlalchemy import delete, select

from app.exports import gaps
from app.exports.gaps import GapDetector
from app.exports.schedules import schedule_of
from app.models import Notification, Run
from app.runtime import Runtime
from app.telemetry import INTERVALS_MISSING
from tests.conftest import Clock
from tests.exports.ending import add_export, read, runs_of, tick, told, warnings
from tests.factories import utc
from tests.http.callers import Tenant, created, no_op

SETTLE = timedelta(seconds=30)
HOUR = timedelta(hours=1)


async def look(runtime: Runtime, now: datetime) -> None:
    await GapDetector(runtime.sessions, SETTLE).look(now)


async def lose(runtime: Runtime, runs: Sequence[Run]) -> None:
    async with runtime.sessions.begin() as session:
        await session.execute(delete(Run).where(Run.id.in_([run.id for run in runs])))


def windows(runs: Sequence[Run]) -> list[tuple[datetime | None, datetime]]:
    return [(run.data_interval_start, run.data_interval_end) for run in runs]


async def test_lost_runs_are_made_again_and_people_told(runtime: Runtime) -> None:
    now = utc(2026, 1, 2)
    export_id = await add_export(runtime, next_start=utc(2026, 1, 1))
    await tick(runtime, now)
    before = windows(await runs_of(runtime, export_id))
    lost = [(await runs_of(runtime, export_id))[place] for place in (0, 7, 8, 23)]
    await lose(runtime, lost)
    counted = INTERVALS_MISSING._value.get()
    await look(runtime, now)
    assert windows(await runs_of(runtime, export_id)) == before
    assert INTERVALS_MISSING._value.get() == counted + 4
    assert await warnings(runtime, export_id) == [
        "4 intervals had no run though there should have been one, the first of them 2026-01-01T00:00:00Z to "
        "2026-01-01T01:00:00Z. Runs have been made for all of them."
    ]
    assert await told(runtime, export_id) == ["interval_missing"]
    async with runtime.sessions() as session:
        [data] = await session.scalars(select(Notification.data))
    assert (data["intervals"], data["data_interval_end"]) == (4, "2026-01-02T00:00:00Z")
    await look(runtime, now)
    assert len(await warnings(runtime, export_id)) == 1


async def test_people_are_told_once_a_day(runtime: Runtime) -> None:
    export_id = await add_export(runtime, next_start=utc(2026, 1, 1))
    await tick(runtime, utc(2026, 1, 3))
    for now in (utc(2026, 1, 3, 1), utc(2026, 1, 3, 2), utc(2026, 1, 4)):
        await lose(runtime, (await runs_of(runtime, export_id))[-1:])
        await look(runtime, now)
    assert await told(runtime, export_id) == ["interval_missing"] * 2
    assert len(await warnings(runtime, export_id)) == 3


async def test_several_at_once_make_each_run_once(runtime: Runtime) -> None:
    now = utc(2026, 1, 2)
    exports = [await add_export(runtime, next_start=utc(2026, 1, 1)) for _ in range(5)]
    await tick(runtime, now)
    for export_id in exports:
        await lose(runtime, (await runs_of(runtime, export_id))[3:6])
    await asyncio.gather(*(look(runtime, now) for _ in range(5)))
    assert [len(await runs_of(runtime, export_id)) for export_id in exports] == [24] * 5
    assert await told(runtime) == ["interval_missing"] * 5


@pytest.mark.parametrize("state", ["paused", "deleted"])
async def test_what_is_stopped_is_left_alone(runtime: Runtime, state: str) -> None:
    export_id = await add_export(runtime, next_start=utc(2026, 1, 1))
    await tick(runtime, utc(2026, 1, 2))
    await lose(runtime, (await runs_of(runtime, export_id))[:3])
    async with runtime.sessions.begin() as session:
        export = await read(runtime, export_id)
        setattr(export, state, True)
        await session.merge(export)
    await look(runtime, utc(2026, 1, 2))
    assert len(await runs_of(runtime, export_id)) == 21


async def test_a_window_that_no_tick_has_come_to_is_not_missing(runtime: Runtime) -> None:
    export_id = await add_export(runtime, next_start=utc(2026, 1, 1))
    await look(runtime, utc(2026, 1, 5))
    assert (await runs_of(runtime, export_id), await told(runtime)) == ([], [])


async def test_all_exports_are_looked_at_after_some_passes(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gaps, "EXPORTS_PER_PASS", 3)
    now = utc(2026, 1, 2)
    exports = [await add_export(runtime, next_start=utc(2026, 1, 1)) for _ in range(8)]
    await tick(runtime, now)
    for export_id in exports:
        await lose(runtime, (await runs_of(runtime, export_id))[:1])
    detector = GapDetector(runtime.sessions, SETTLE)
    for _ in range(3):
        await detector.look(now)
    assert len(await told(runtime)) == 8


async def test_one_that_is_just_being_changed_is_left_to_the_next_pass(runtime: Runtime) -> None:
    now = utc(2026, 1, 2)
    export_id = await add_export(runtime, next_start=utc(2026, 1, 1))
    await tick(runtime, now)
    await lose(runtime, (await runs_of(runtime, export_id))[:1])
    async with runtime.sessions.begin() as session:
        await gaps.GapRepository(session).lock(export_id)
        async with asyncio.timeout(5):
            await look(runtime, now)
    assert await told(runtime) == []
    await look(runtime, now)
    assert await told(runtime) == ["interval_missing"]


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"])
@pytest.mark.parametrize("interval", ["hour", "day", "week"])
async def test_days_of_any_length_tile_the_time(runtime: Runtime, zone: str, interval: str) -> None:
    export_id = await add_export(
        runtime, next_start=utc(2011, 12, 1), interval=interval, timezone=zone, interval_offset=3 * 3600
    )
    async with runtime.sessions.begin() as session:
        export = await read(runtime, export_id)
        if interval == "hour":
            export.interval_offset = None
        export.next_start = export.accounted_from = schedule_of(export).align(utc(2011, 12, 1))
        await session.merge(export)
    now = utc(2012, 1, 20) if interval == "hour" else utc(2012, 12, 1)
    while (await read(runtime, export_id)).next_start < schedule_of(export).align(now):
        await tick(runtime, now)
    made = windows(await runs_of(runtime, export_id))
    await look(runtime, now)
    assert (windows(await runs_of(runtime, export_id)), await told(runtime)) == (made, [])
    await lose(runtime, (await runs_of(runtime, export_id))[-2:])
    await look(runtime, now)
    assert windows(await runs_of(runtime, export_id)) == made


async def test_a_skip_after_too_long_a_time_away_is_none(runtime: Runtime) -> None:
    export_id = await add_export(runtime, next_start=utc(2026, 1, 1))
    await tick(runtime, utc(2026, 1, 1, 3))
    await tick(runtime, utc(2026, 1, 3), limit=4)
    await look(runtime, utc(2026, 1, 3))
    assert (len(await runs_of(runtime, export_id)), await told(runtime)) == (7, [])


@pytest.mark.parametrize("end_at", [utc(2026, 1, 1, 5), utc(2026, 1, 1, 5, 30)])
async def test_an_end_is_none(runtime: Runtime, end_at: datetime) -> None:
    export_id = await add_export(runtime, next_start=utc(2026, 1, 1), end_at=end_at, start_at=utc(2026, 1, 1, 2, 30))
    for hour in range(9):
        await tick(runtime, utc(2026, 1, 1, hour))
        await look(runtime, utc(2026, 1, 1, hour))
    assert (len(await runs_of(runtime, export_id)), await told(runtime)) == (3, [])


@pytest.mark.parametrize(
    "body", [{"interval": "day"}, {"interval": "every 15 minutes"}, {"interval": "week", "timezone": "Asia/Kathmandu"}]
)
async def test_another_schedule_has_no_past(
    api: httpx.AsyncClient, runtime: Runtime, clock: Clock, tenant: Tenant, body: dict[str, Any]
) -> None:
    clock.now = utc(2026, 6, 12, 12, 20)
    export_id = await add_export(runtime, tenant.project_id, next_start=utc(2026, 6, 1))
    await tick(runtime, clock.now)
    assert (await api.patch(f"/batch_exports/{export_id}/", json=body)).status_code == 200
    await look(runtime, clock.now)
    assert (len(await runs_of(runtime, export_id)), await told(runtime)) == (11 * 24 + 12, [])
    export = await read(runtime, export_id)
    assert export.accounted_from == export.next_start


ACTIONS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "pause": ("POST", "pause/", {}),
    "unpause": ("POST", "unpause/", {}),
    "unpause and make up": ("POST", "unpause/", {"backfill": True}),
    "pause by patch": ("PATCH", "", {"paused": True}),
    "resume by patch": ("PATCH", "", {"paused": False}),
    "hourly": ("PATCH", "", {"interval": "hour"}),
    "every 15 minutes": ("PATCH", "", {"interval": "every 15 minutes"}),
    "daily": ("PATCH", "", {"interval": "day"}),
    "daily at five in Berlin": ("PATCH", "", {"interval": "day", "offset_hour": 5, "timezone": "Europe/Berlin"}),
    "weekly": ("PATCH", "", {"interval": "week", "offset_day": 3}),
    "start later": ("PATCH", "", {"start_at": "2026-06-02T10:20:00Z"}),
    "start at once": ("PATCH", "", {"start_at": None}),
    "end": ("PATCH", "", {"end_at": "2026-06-02T16:40:00Z"}),
    "do not end": ("PATCH", "", {"end_at": None}),
    "another name": ("PATCH", "", {"name": "Another"}),
}
STEP = st.one_of(
    st.sampled_from([*ACTIONS]),
    st.integers(1, 30 * 60).map(lambda minutes: timedelta(minutes=minutes)),
)


@seed(20260601)
@settings(max_examples=25, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(STEP, min_size=3, max_size=14), ticks=st.lists(st.booleans(), min_size=14, max_size=14))
async def test_whatever_people_do_nothing_is_found_missing_and_what_is_lost_is(
    api: httpx.AsyncClient,
    runtime: Runtime,
    clock: Clock,
    tenant: Tenant,
    steps: list[str | timedelta],
    ticks: list[bool],
) -> None:
    clock.now = utc(2026, 6, 1, 12, 20)
    export_id = UUID((await created(api, no_op()))["id"])
    for step, ticked in zip(steps, ticks, strict=False):
        if isinstance(step, timedelta):
            clock.now += step
        else:
            method, path, body = ACTIONS[step]
            answer = await api.request(method, f"/batch_exports/{export_id}/{path}", json=body)
            assert answer.status_code in (200, 429), answer.text
        if ticked:
            await tick(runtime, clock.now, limit=50)
        made = windows(await runs_of(runtime, export_id))
        await look(runtime, clock.now)
        assert windows(await runs_of(runtime, export_id)) == made
        assert await told(runtime, export_id) == []
    export = await read(runtime, export_id)
    accounted = [
        run
        for run in await runs_of(runtime, export_id)
        if run.data_interval_start is not None and export.accounted_from <= run.data_interval_start
    ][-50:]
    if accounted and not export.paused:
        async with runtime.sessions() as session:
            lost = accounted[len(accounted) // 2]
            await lose(runtime, [lost])
            lacking = await gaps.GapRepository(session).lacking(export)
        of_schedule = (lost.data_interval_start, lost.data_interval_end) in {(one.start, one.end) for one in lacking}
        await look(runtime, clock.now)
        back = (lost.data_interval_start, lost.data_interval_end) in windows(await runs_of(runtime, export_id))
        assert back is of_schedule
