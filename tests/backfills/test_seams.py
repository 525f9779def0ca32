"""Where backfills and the schedule meet: the contract's sections 4.6, 4.7, 5.3 and 6.3."""

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import httpx
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from sqlalchemy import select, text, update

from app.backfills.advance import Advancer
from app.exports.due import DueWindows
from app.models import Backfill, Export, Run, RunStatus
from app.runtime import Runtime
from app.scheduling.tick import Ticker
from tests.conftest import Clock
from tests.factories import utc
from tests.http.callers import Tenant, created, no_op, refused

Windows = list[tuple[datetime | None, datetime]]
NOTHING = timedelta(0)
START = utc(2026, 6, 1, 12)


async def add_events(
    runtime: Runtime, project_id: int, first: datetime, count: int, step: timedelta = timedelta(minutes=30)
) -> None:
    """One ingested every ``step``, and all of them long ago by their own clocks."""
    async with runtime.sessions.begin() as session:
        await session.execute(
            text(
                "INSERT INTO event_store.events (uuid, team_id, event, distinct_id, properties, timestamp, inserted_at)"
                " SELECT gen_random_uuid(), :team_id, 'e', 'user', '{}', '2020-01-01', "
                "CAST(:first AS timestamptz) + n * CAST(:step AS interval) FROM generate_series(0, :count) n"
            ),
            {"team_id": project_id, "first": first, "count": count, "step": step},
        )


async def tick(runtime: Runtime, clock: Clock) -> None:
    await Ticker(runtime.sessions, clock, DueWindows(NOTHING, 10_000)).tick()


async def run_backfills(runtime: Runtime, clock: Clock) -> None:
    """To their end; their runs are taken for done."""
    advancer = Advancer(runtime.sessions, runtime.source, clock, NOTHING)
    async with runtime.sessions() as session:
        backfills = list(await session.scalars(select(Backfill.id).where(Backfill.finished_at.is_(None))))
    for backfill_id in backfills:
        while await advancer.advance(backfill_id):
            async with runtime.sessions.begin() as session:
                await session.execute(update(Run).values(status=RunStatus.COMPLETED))


async def windows(runtime: Runtime, export_id: str, *, backfilled: bool | None = None) -> Windows:
    query = select(Run.data_interval_start, Run.data_interval_end).where(Run.export_id == UUID(export_id))
    if backfilled is not None:
        query = query.where(Run.backfill_id.is_not(None) if backfilled else Run.backfill_id.is_(None))
    async with runtime.sessions() as session:
        return [(start, end) for start, end in await session.execute(query.order_by(Run.data_interval_end))]


tenths = st.integers(0, 35)
"""Of an interval."""


@examples(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    schedule=st.sampled_from(
        [
            ({"interval": "hour"}, timedelta(hours=1)),
            ({"interval": "every 15 minutes"}, timedelta(minutes=15)),
            ({"interval": "day", "timezone": "Australia/Lord_Howe", "offset_hour": 2}, timedelta(days=1)),
        ]
    ),
    before=tenths,
    paused=tenths,
    after=tenths,
    ticked=st.booleans(),
)
async def test_unpausing_with_a_backfill_leaves_no_gap_and_no_overlap(
    api: httpx.AsyncClient,
    tenant: Tenant,
    runtime: Runtime,
    clock: Clock,
    schedule: tuple[dict[str, Any], timedelta],
    before: int,
    paused: int,
    after: int,
    ticked: bool,
) -> None:
    fields, length = schedule
    clock.now = START
    export_id = (await created(api, no_op(**fields)))["id"]
    # In every window, or a backfill would begin with the first that has any.
    await add_events(runtime, tenant.project_id, START - length, 50, length / 4)
    clock.now += before * length / 10
    if ticked:  # or the pause comes before the schedule's last windows have become runs
        await tick(runtime, clock)
    assert (await api.post(f"/batch_exports/{export_id}/pause/")).status_code == 200
    pause = clock.now
    clock.now += paused * length / 10
    await tick(runtime, clock)
    assert (await api.post(f"/batch_exports/{export_id}/unpause/", json={"backfill": True})).status_code == 200
    [shown] = (await api.get(f"/batch_exports/{export_id}/backfills/")).json()["results"]
    # What a client sees is the pause itself.
    assert datetime.fromisoformat(shown["start_at"]) == pause
    assert datetime.fromisoformat(shown["end_at"]) == clock.now
    assert shown["select_by"] == "ingested_at"
    await run_backfills(runtime, clock)
    clock.now += after * length / 10
    await tick(runtime, clock)
    async with runtime.sessions() as session:
        following = (await session.get_one(Export, UUID(export_id))).next_start
    tiles = await windows(runtime, export_id)
    assert all(earlier[1] == later[0] for earlier, later in pairwise([*tiles, (following, following)]))
    assert tiles == [] or (tiles[0][0] is not None and tiles[0][0] <= START)


@pytest.mark.parametrize("way", ["routes", "patch"])
async def test_what_was_missed_while_paused_is_never_run_by_itself(
    api: httpx.AsyncClient, runtime: Runtime, clock: Clock, way: str
) -> None:
    export_id = (await created(api, no_op()))["id"]
    url = f"/batch_exports/{export_id}/"
    clock.now = utc(2026, 6, 1, 13, 5)
    await tick(runtime, clock)
    await (api.post(f"{url}pause/") if way == "routes" else api.patch(url, json={"paused": True}))
    clock.now = utc(2026, 6, 2, 8, 40)
    await tick(runtime, clock)
    await (api.post(f"{url}unpause/") if way == "routes" else api.patch(url, json={"paused": False}))
    await tick(runtime, clock)
    assert await windows(runtime, export_id) == [(START, utc(2026, 6, 1, 13))]
    clock.now = utc(2026, 6, 2, 9)
    await tick(runtime, clock)
    assert (await windows(runtime, export_id))[1:] == [(utc(2026, 6, 2, 8), utc(2026, 6, 2, 9))]
    assert (await api.get(f"{url}backfills/")).json()["results"] == []


async def test_an_export_made_paused_is_backfilled_from_its_first_window(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, clock: Clock
) -> None:
    clock.now = utc(2026, 6, 1, 12, 20)
    export_id = (await created(api, no_op(paused=True)))["id"]
    await add_events(runtime, tenant.project_id, START, 10)
    clock.now = utc(2026, 6, 1, 15, 10)
    await api.post(f"/batch_exports/{export_id}/unpause/", json={"backfill": True})
    await run_backfills(runtime, clock)
    [shown] = (await api.get(f"/batch_exports/{export_id}/backfills/")).json()["results"]
    assert (shown["start_at"], shown["end_at"]) == ("2026-06-01T12:20:00Z", "2026-06-01T15:10:00Z")
    assert shown["adjusted_start_at"] == "2026-06-01T12:00:00Z"
    assert [start for start, _ in await windows(runtime, export_id)] == [utc(2026, 6, 1, hour) for hour in (12, 13, 14)]


async def test_the_time_after_a_schedules_end_was_missed_only_since_the_pause(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, clock: Clock
) -> None:
    export_id = (await created(api, no_op(end_at="2026-06-01T13:00:00Z")))["id"]
    await add_events(runtime, tenant.project_id, START, 100)
    clock.now = utc(2026, 6, 1, 20, 30)
    await tick(runtime, clock)
    await api.post(f"/batch_exports/{export_id}/pause/")
    clock.now = utc(2026, 6, 1, 22, 30)
    await api.post(f"/batch_exports/{export_id}/unpause/", json={"backfill": True})
    await run_backfills(runtime, clock)
    assert await windows(runtime, export_id, backfilled=True) == [
        (utc(2026, 6, 1, 20), utc(2026, 6, 1, 21)),
        (utc(2026, 6, 1, 21), utc(2026, 6, 1, 22)),
    ]


async def test_a_backfill_without_an_end_hands_over_to_the_schedule(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, clock: Clock
) -> None:
    export_id = (await created(api, no_op(paused=True)))["id"]
    await add_events(runtime, tenant.project_id, START, 100)
    clock.now = utc(2026, 6, 2, 1, 15)
    body = {"start_at": "2026-06-01T20:00:00Z", "select_by": "ingested_at"}
    answer = await api.post(f"/batch_exports/{export_id}/backfills/", json=body)
    assert refused(answer) == (201, {"backfill_id": answer.json()["backfill_id"]})
    await run_backfills(runtime, clock)
    assert (await api.get(f"/batch_exports/{export_id}/")).json()["paused"] is False
    clock.now = utc(2026, 6, 2, 2)
    await tick(runtime, clock)
    assert await windows(runtime, export_id, backfilled=False) == [(utc(2026, 6, 2, 1), utc(2026, 6, 2, 2))]
    tiles = await windows(runtime, export_id)
    assert tiles[0][0] == utc(2026, 6, 1, 20)
    assert all(earlier[1] == later[0] for earlier, later in pairwise(tiles))
