"""Runs over HTTP: list, retrieve, cancel (the contract's sections 2.1, 3.3 and 7)."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest

from app.models import Export, Run, RunStatus
from app.runs.service import PAGE_SIZE
from app.runtime import Runtime
from tests.conftest import Clock
from tests.factories import utc
from tests.http.callers import NOT_FOUND, created, invalid, no_op, refused
from tests.http.statements import counting

NOBODY = "0190a5a8-0000-7000-8000-000000000000"
HOUR = timedelta(hours=1)


@pytest.fixture
async def export(api: httpx.AsyncClient) -> dict[str, Any]:
    return await created(api, no_op())


@pytest.fixture
def url(export: dict[str, Any]) -> str:
    return f"/batch_exports/{export['id']}/runs/"


async def add_runs(runtime: Runtime, export: dict[str, Any], count: int = 1, **values: Any) -> list[Run]:
    """One an hour, oldest first: windows from 0:00 on, made half a minute after their end."""
    async with runtime.sessions.begin() as session:
        row = await session.get_one(Export, UUID(export["id"]))
        day = utc(2026, 6, 1) - timedelta(hours=count)
        runs = [
            Run(
                **{
                    "export_id": row.id,
                    "project_id": row.project_id,
                    "data_interval_start": day + number * HOUR,
                    "data_interval_end": day + (number + 1) * HOUR,
                    "created_at": day + (number + 1) * HOUR + timedelta(seconds=30),
                    **values,
                }
            )
            for number in range(count)
        ]
        session.add_all(runs)
    return runs


async def ids(api: httpx.AsyncClient, url: str, **params: Any) -> list[UUID]:
    answer = await api.get(url, params=params)
    assert answer.status_code == 200, answer.text
    return [UUID(run["id"]) for run in answer.json()["results"]]


async def test_a_run_is_shown_whole(api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any], url: str) -> None:
    [run] = await add_runs(
        runtime,
        export,
        status=RunStatus.FAILED,
        records_completed=0,
        latest_error="NoSuchBucket: bucket",
        finished_at=utc(2026, 6, 1, 0, 1) + timedelta(microseconds=5),
        last_updated_at=utc(2026, 6, 1, 0, 1),
        bytes_exported=2**40,
    )
    expected = {
        "id": str(run.id),
        "status": "Failed",
        "records_completed": 0,
        "records_failed": None,
        "latest_error": "NoSuchBucket: bucket",
        "data_interval_start": "2026-05-31T23:00:00Z",
        "data_interval_end": "2026-06-01T00:00:00Z",
        "cursor": None,
        "created_at": "2026-06-01T00:00:30Z",
        "finished_at": "2026-06-01T00:01:00.000005Z",
        "last_updated_at": "2026-06-01T00:01:00Z",
        "records_total_count": None,
        "bytes_exported": 2**40,
        "batch_export": export["id"],
        "batch_export_on_demand": None,
        "backfill": None,
        "select_by": "ingested_at",
    }
    assert refused(await api.get(f"{url}{run.id}/")) == (200, expected)
    assert refused(await api.get(url)) == (200, {"next": None, "previous": None, "results": [expected]})


async def test_a_run_of_another_export_is_not_found(
    api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any], url: str
) -> None:
    [run] = await add_runs(runtime, await created(api, no_op()))
    for path in (f"{url}{run.id}/", f"{url}{NOBODY}/", f"{url}x/", f"/batch_exports/x/runs/{run.id}/"):
        assert refused(await api.get(path)) == (404, NOT_FOUND)
        assert refused(await api.post(f"{path}cancel/")) == (404, NOT_FOUND)


async def test_cursors_lead_through_all_pages_and_back(
    api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any], url: str
) -> None:
    runs = await add_runs(runtime, export, 2 * PAGE_SIZE + 10)
    # Equal moments are told apart by id.
    await add_runs(runtime, export, 5, data_interval_start=utc(2026, 5, 1), created_at=utc(2026, 6, 1, 0, 1))
    for ordering in ("created_at", "-created_at", "data_interval_start", "-data_interval_start"):
        params = {"ordering": ordering, "after": "-90d", "start": "-90d"}
        answer = (await api.get(url, params=params)).json()
        assert answer["previous"] is None
        pages = [answer]
        while following := pages[-1]["next"]:
            pages.append((await api.get(following)).json())
        seen = [run["id"] for page in pages for run in page["results"]]
        assert len(seen) == len(set(seen)) == len(runs) + 5
        assert [len(page["results"]) for page in pages] == [100, 100, 15]
        field = ordering.removeprefix("-")
        keys = [(run[field], run["id"]) for page in pages for run in page["results"]]
        assert keys == sorted(keys, reverse=ordering.startswith("-"))
        for before, page in zip(pages[-2::-1], pages[:0:-1], strict=True):
            assert (await api.get(page["previous"])).json()["results"] == before["results"]


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "é",
        "WzFd",
        "e30=",
        "bnVsbA==",
        "WyIyMDI2LTAxLTAxIiwgIjAxOTBhNWE4LTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDAwMCIsIGZhbHNlXQ==",
        "W1tbW1tb" * 5000,
    ],
)
async def test_a_cursor_that_no_page_gave_is_not_found(api: httpx.AsyncClient, url: str, cursor: str) -> None:
    answer = await api.get(url, params={"cursor": cursor})
    assert refused(answer) == (404, {**NOT_FOUND, "detail": "Invalid cursor"})


async def test_runs_can_be_chosen_by_status(
    api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any], url: str
) -> None:
    made = {
        status: (await add_runs(runtime, export, status=status, data_interval_start=None))[0].id
        for status in (RunStatus.FAILED, RunStatus.FAILED_RETRYABLE, RunStatus.RUNNING)
    }
    assert await ids(api, url, status="Failed") == [made[RunStatus.FAILED]]
    assert set(await ids(api, url, status=["Failed", "FailedRetryable"])) == set(list(made.values())[:2])
    assert len(await ids(api, url, status="")) == 3
    answer = await api.get(url, params={"status": ["Failed", "Lost"]})
    detail = "Select a valid choice. Lost is not one of the available choices."
    assert refused(answer) == (400, invalid(detail, "status", "invalid_choice"))


async def test_runs_of_the_last_week_are_listed_unless_said_otherwise(
    api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any], url: str
) -> None:
    runs = [run.id for run in await add_runs(runtime, export, 240)]
    week = 7 * 24 - 12
    assert len(runs[-week:]) == week
    newest = list(reversed(runs))
    assert await ids(api, url) == newest[:100]
    for params, expected in (
        ({"after": "-14h"}, newest[:3]),
        ({"after": "2026-05-31T22:00:30Z"}, newest[:3]),
        ({"after": "2026-05-31 22:00:30+00:00", "before": "2026-05-31T23:00:30"}, newest[1:3]),
        ({"after": "-30d", "before": "2026-05-22T03:00:00Z"}, newest[-2:]),
        ({"after": "", "before": "", "ordering": "nonsense"}, newest[:100]),
        ({"ordering": "data_interval_start"}, runs[-week : -week + 100]),
        (
            {"ordering": "-data_interval_start", "start": "2026-05-31T21:00:00Z", "end": "2026-05-31T23:00:00Z"},
            newest[1:3],
        ),
        ({"start": "2026-05-31T21:00:00Z"}, newest[:100]),
        ({"ordering": "data_interval_start", "after": "-1h"}, runs[-week : -week + 100]),
        ({"after": "-999999y"}, newest[:100]),
    ):
        assert await ids(api, url, **params) == expected, params
    for name, ordering in (("after", "created_at"), ("end", "data_interval_start")):
        answer = await api.get(url, params={name: "lately", "ordering": ordering})
        detail = "'lately' is neither an ISO 8601 datetime nor relative to now, such as -7d."
        assert refused(answer) == (400, invalid(detail, name))
    # The window does not hold for the runs themselves.
    assert (await api.get(f"{url}{runs[0]}/")).status_code == 200


@pytest.mark.parametrize("status", [RunStatus.STARTING, RunStatus.RUNNING])
async def test_an_unfinished_run_is_cancelled(
    api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any], url: str, clock: Clock, status: RunStatus
) -> None:
    [run] = await add_runs(runtime, export, status=status)
    clock.now += HOUR
    assert refused(await api.post(f"{url}{run.id}/cancel/")) == (200, {"cancelled": True})
    shown = (await api.get(f"{url}{run.id}/")).json()
    assert (shown["status"], shown["finished_at"], shown["last_updated_at"]) == (
        "Cancelled",
        "2026-06-01T13:00:00Z",
        "2026-06-01T13:00:00Z",
    )


@pytest.mark.parametrize("status", ["Completed", "Failed", "FailedRetryable", "Cancelled"])
async def test_a_finished_run_cannot_be_cancelled(
    api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any], url: str, status: str
) -> None:
    [run] = await add_runs(runtime, export, status=status)
    answer = await api.post(f"{url}{run.id}/cancel/")
    assert refused(answer) == (400, invalid(f"Cannot cancel a run that is in '{status}' status"))


async def test_of_ten_cancels_at_once_one_does_it(
    api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any], url: str
) -> None:
    [run] = await add_runs(runtime, export, status=RunStatus.RUNNING)
    answers = await asyncio.gather(*(api.post(f"{url}{run.id}/cancel/") for _ in range(10)))
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 9
    detail = "Cannot cancel a run that is in 'Cancelled' status"
    assert [refused(answer) for answer in answers if answer.status_code == 400] == [(400, invalid(detail))] * 9


async def test_a_list_costs_the_same_whatever_it_holds(
    api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any], url: str
) -> None:
    costs = []
    for _ in range(3):
        with counting(runtime) as statements:
            await ids(api, url)
        costs.append(len(statements))
        await add_runs(runtime, export, 60, created_at=utc(2026, 6, 1), data_interval_start=None)
    assert costs[1:] == [3, 3]
