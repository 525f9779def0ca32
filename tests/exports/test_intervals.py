"""The list of what became of every interval."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from sqlalchemy import delete

from app.exports.intervals import STATES
from app.models import Run, RunStatus
from app.runtime import Runtime
from tests.conftest import Clock
from tests.exports.ending import add_export, end, read, runs_of, tick
from tests.factories import make_backfill, utc
from tests.http.callers import NOT_FOUND, Tenant, created, no_op, refused

HOUR = timedelta(hours=1)
START = utc(2026, 6, 1)


async def listed(api: httpx.AsyncClient, export_id: object, **query: object) -> list[dict[str, Any]]:
    answer = await api.get(f"/batch_exports/{export_id}/intervals/", params=query)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    results: list[dict[str, Any]] = answer.json()["results"]
    return results


def hour(moment: str) -> int:
    return datetime.fromisoformat(moment).hour


@pytest.fixture
async def export_id(runtime: Runtime, tenant: Tenant) -> UUID:
    """With runs for the hours from 0 to 12."""
    export_id = await add_export(runtime, tenant.project_id, next_start=START)
    await tick(runtime, START + 12 * HOUR)
    return export_id


async def test_every_state_is_one(api: httpx.AsyncClient, runtime: Runtime, clock: Clock, export_id: UUID) -> None:
    clock.now = START + 14 * HOUR + timedelta(minutes=20)
    runs = await runs_of(runtime, export_id)
    statuses = [status for status in RunStatus if status is not RunStatus.STARTING]
    for run, status in zip(runs, statuses, strict=False):
        await end(runtime, run, status)
    async with runtime.sessions.begin() as session:
        await session.execute(delete(Run).where(Run.id == runs[-1].id))
    found = await listed(api, export_id)
    assert [(hour(one["data_interval_start"]), one["state"]) for one in found] == [
        (13, "waiting"),
        (12, "waiting"),
        (11, "missing"),
        (10, "waiting"),
        (9, "waiting"),
        *((place, STATES[status]) for place, status in reversed([*enumerate(statuses)])),
    ]
    assert {one["state"] for one in found} == {"completed", "running", "failed", "cancelled", "waiting", "missing"}
    assert [one["run"] for one in found] == [None] * 3 + [str(run.id) for run in reversed(runs[:-1])]
    assert (found[0]["data_interval_start"], found[0]["data_interval_end"]) == (
        "2026-06-01T13:00:00Z",
        "2026-06-01T14:00:00Z",
    )


def test_every_status_has_a_state() -> None:
    assert set(STATES) == set(RunStatus)


@pytest.mark.parametrize(
    ("query", "starts"),
    [
        ({"limit": 2}, [12, 11]),
        ({"limit": 500}, [*range(12, -1, -1)]),
        ({"start": "2026-06-01T09:30:00Z"}, [12, 11, 10]),
        ({"end": "2026-06-01T02:30:00Z"}, [1, 0]),
        ({"start": "2026-06-01T03:00:00Z", "end": "2026-06-01T05:00:00Z"}, [4, 3]),
        ({"start": "-3h"}, [12, 11, 10]),
        ({"end": "2026-06-01T12:00:00Z", "limit": 1}, [11]),
        ({"end": "0001-01-01T00:00:00Z"}, []),
        ({"start": "9999-01-01T00:00:00Z"}, []),
        ({"start": "2026-06-01T05:00:00Z", "end": "2026-06-01T03:00:00Z"}, []),
    ],
)
async def test_a_part_of_them_can_be_asked_for(
    api: httpx.AsyncClient, clock: Clock, export_id: UUID, query: dict[str, Any], starts: list[int]
) -> None:
    clock.now = START + 13 * HOUR
    assert [hour(one["data_interval_start"]) for one in await listed(api, export_id, **query)] == starts


@pytest.mark.parametrize(
    ("query", "attr"), [({"limit": 501}, "limit"), ({"limit": 0}, "limit"), ({"start": "soon"}, "start")]
)
async def test_odd_questions_are_refused(
    api: httpx.AsyncClient, export_id: UUID, query: dict[str, Any], attr: str
) -> None:
    answer = await api.get(f"/batch_exports/{export_id}/intervals/", params=query)
    assert (answer.status_code, answer.json()["attr"]) == (400, attr)


async def test_an_export_that_is_none_has_none(api: httpx.AsyncClient, export_id: UUID) -> None:
    assert refused(await api.get(f"/batch_exports/{uuid4()}/intervals/")) == (404, NOT_FOUND)
    await api.delete(f"/batch_exports/{export_id}/")
    assert refused(await api.get(f"/batch_exports/{export_id}/intervals/")) == (404, NOT_FOUND)


async def test_a_new_one_has_none_until_its_first_window_has_closed(api: httpx.AsyncClient, clock: Clock) -> None:
    clock.now = START + timedelta(minutes=20)
    export = await created(api, no_op())
    assert await listed(api, export["id"]) == []
    clock.now = START + HOUR
    [one] = await listed(api, export["id"])
    assert (one["data_interval_start"], one["state"]) == ("2026-06-01T00:00:00Z", "waiting")


async def test_a_pause_is_no_gap(api: httpx.AsyncClient, runtime: Runtime, clock: Clock, export_id: UUID) -> None:
    url = f"/batch_exports/{export_id}/"
    clock.now = START + 12 * HOUR
    await api.post(f"{url}pause/")
    clock.now += 3 * HOUR
    assert hour((await listed(api, export_id))[0]["data_interval_start"]) == 11
    await api.post(f"{url}unpause/")
    clock.now += 2 * HOUR
    await tick(runtime, clock.now)
    found = await listed(api, export_id, limit=4)
    assert [(hour(one["data_interval_start"]), one["state"]) for one in found] == [
        (16, "waiting"),
        (15, "waiting"),
        (11, "waiting"),
        (10, "waiting"),
    ]
    assert all(one["run"] for one in found)


async def test_windows_of_an_earlier_schedule_stay(
    api: httpx.AsyncClient, runtime: Runtime, clock: Clock, export_id: UUID
) -> None:
    clock.now = START + 12 * HOUR
    await api.patch(f"/batch_exports/{export_id}/", json={"interval": "day"})
    clock.now = START + 50 * HOUR
    await tick(runtime, START + 25 * HOUR)
    found = await listed(api, export_id)
    spans = [
        (
            datetime.fromisoformat(one["data_interval_end"]) - datetime.fromisoformat(one["data_interval_start"]),
            one["run"] is not None,
        )
        for one in found
    ]
    # The day that no tick has come to, the hours, and, as it begins with the first of them, the day that holds them.
    assert spans[0] == (24 * HOUR, False)
    assert spans[1:12] == [(HOUR, True)] * 11
    assert sorted(spans[12:]) == [(HOUR, True), (24 * HOUR, True)]
    assert len(spans) == 14


async def test_windows_outside_start_and_end_are_none(
    api: httpx.AsyncClient, runtime: Runtime, clock: Clock, tenant: Tenant
) -> None:
    bounds = {"start_at": START + 2.5 * HOUR, "end_at": START + 5.5 * HOUR}
    export_id = await add_export(runtime, tenant.project_id, next_start=START, **bounds)
    clock.now = START + 9 * HOUR
    for _ in range(2):
        assert [hour(one["data_interval_start"]) for one in await listed(api, export_id)] == [4, 3, 2]
        await tick(runtime, clock.now)
    assert (await read(runtime, export_id)).accounted_from == START + 6 * HOUR


async def test_backfills_change_nothing(
    api: httpx.AsyncClient, runtime: Runtime, clock: Clock, export_id: UUID
) -> None:
    clock.now = START + 12 * HOUR
    before = await listed(api, export_id)
    async with runtime.sessions.begin() as session:
        export = await read(runtime, export_id)
        backfill = await make_backfill(session, export, start_at=START, end_at=START + HOUR, status="Running")
        session.add(
            Run(
                export_id=export_id,
                project_id=export.project_id,
                backfill_id=backfill.id,
                data_interval_start=START,
                data_interval_end=START + HOUR,
                status="Completed",
            )
        )
    assert await listed(api, export_id) == before
