"""Backfills over HTTP (the contract's sections 2.2, 3.4 and 6)."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.backfills.service import PAGE_SIZE
from app.models import Backfill, Export, Project, Run, RunStatus
from app.runtime import Runtime
from app.tenants.flags import Flag
from tests.conftest import Clock
from tests.factories import make_backfill, utc
from tests.http.callers import NOT_FOUND, Tenant, add_tenant, created, error, invalid, no_op, open_client, refused, s3
from tests.http.statements import counting

NOBODY = "0190a5a8-0000-7000-8000-000000000000"
RANGE = {"start_at": "2026-05-01T00:00:00Z", "end_at": "2026-05-02T00:00:00Z"}
LIMIT = 5
TOO_MANY = error(
    "server_error",
    "too_many_concurrent_backfills",
    "This team already has 5 batch export backfills running. Wait for some to finish or cancel them before creating "
    "more.",
)


@pytest.fixture
async def export(api: httpx.AsyncClient) -> dict[str, Any]:
    return await created(api, no_op())


@pytest.fixture
def url(export: dict[str, Any]) -> str:
    return f"/batch_exports/{export['id']}/backfills/"


async def add_backfills(runtime: Runtime, export: dict[str, Any], *values: dict[str, Any]) -> list[Backfill]:
    async with runtime.sessions.begin() as session:
        row = await session.get_one(Export, UUID(export["id"]))
        return [await make_backfill(session, row, **one) for one in values]


async def test_a_new_backfill_can_be_read_at_once(
    api: httpx.AsyncClient, tenant: Tenant, export: dict[str, Any], url: str
) -> None:
    answer = await api.post(url, json={"start_at": "2026-05-01T02:30:00+02:30", "end_at": "2026-05-02T00:00:00Z"})
    assert answer.status_code == 201, answer.text
    backfill_id = answer.json()["backfill_id"]
    assert answer.json() == {"backfill_id": backfill_id}
    expected = {
        "id": backfill_id,
        "progress": {"total_runs": 24, "finished_runs": 0, "progress": 0.0},
        "start_at": "2026-05-01T00:00:00Z",
        "end_at": "2026-05-02T00:00:00Z",
        "status": "Starting",
        "created_at": "2026-06-01T12:00:00Z",
        "finished_at": None,
        "last_updated_at": "2026-06-01T12:00:00Z",
        "total_records_count": None,
        "adjusted_start_at": None,
        "select_by": "timestamp",
        "team": tenant.project_id,
        "batch_export": export["id"],
    }
    assert refused(await api.get(f"{url}{backfill_id}/")) == (200, expected)
    assert refused(await api.get(url)) == (200, {"next": None, "previous": None, "results": [expected]})


async def test_a_backfill_may_select_by_ingestion_time(api: httpx.AsyncClient, url: str) -> None:
    assert (await api.post(url, json={**RANGE, "select_by": "ingested_at"})).status_code == 201
    assert [one["select_by"] for one in (await api.get(url)).json()["results"]] == ["ingested_at"]
    answer = await api.post(url, json={**RANGE, "select_by": "mood"})
    assert refused(answer) == (400, invalid('"mood" is not a valid choice.', "select_by", "invalid_choice"))


async def test_the_deprecated_route_answers_with_a_name_of_the_range(
    app: FastAPI, api: httpx.AsyncClient, tenant: Tenant, export: dict[str, Any], url: str
) -> None:
    name = f"{export['id']}-Backfill-2026-05-01T00:00:00+00:00-2026-05-02T00:00:00+00:00"
    assert refused(await api.post(f"/batch_exports/{export['id']}/backfill/", json=RANGE)) == (
        200,
        {"backfill_id": name},
    )
    base_url = f"http://service.test/api/organizations/{tenant.organization_id}"
    async with open_client(app, tenant, base_url=base_url) as client:
        answer = await client.post(f"/batch_exports/{export['id']}/backfill/", json={})
        assert refused(answer) == (200, {"backfill_id": f"{export['id']}-Backfill-START-END"})
    assert len((await api.get(url)).json()["results"]) == 2


DATE = "is not a valid ISO formatted date."
DATETIME = "is not a valid ISO formatted datetime."
ONLY_DATE = "Daily or weekly batch export backfills expect only the date component, but a time was included."


@pytest.mark.parametrize(
    ("fields", "body", "detail"),
    [
        ({}, {"start_at": "yesterday"}, f"Input yesterday {DATETIME}"),
        ({}, {"start_at": 5, "end_at": "x"}, f"Input 5 {DATETIME}"),
        ({}, {"start_at": "2026-05-01T00:00:00"}, "Input 2026-05-01T00:00:00 is naive."),
        ({}, {"start_at": None, "end_at": "2026-05-01"}, "Input 2026-05-01 is naive."),
        ({}, {"start_at": "0001-01-01T00:00:00+14:00"}, f"Input 0001-01-01T00:00:00+14:00 {DATETIME}"),
        (
            {},
            {"start_at": RANGE["end_at"], "end_at": RANGE["start_at"]},
            "The initial backfill datetime 'start_at' must be before 'end_at'",
        ),
        (
            {},
            {"start_at": RANGE["end_at"], "end_at": RANGE["end_at"]},
            "The initial backfill datetime 'start_at' must be before 'end_at'",
        ),
        (
            {},
            {"start_at": RANGE["start_at"], "end_at": "2026-06-01T12:00:01Z"},
            "The provided 'end_at' (2026-06-01T12:00:01+00:00) is in the future",
        ),
        ({"interval": "day"}, {"start_at": "01.05.2026"}, f"Input '01.05.2026' {DATE}"),
        ({"interval": "day"}, {"start_at": 5}, f"Input '5' {DATE}"),
        ({"interval": "day"}, {"start_at": RANGE["start_at"]}, f"Input '{RANGE['start_at']}' {DATE} {ONLY_DATE}"),
        (
            {"interval": "week", "offset_day": 1},
            {"start_at": "2026-01-04"},
            "Input 2026-01-04 is not on the correct day of the week for this batch export. 2026-01-04 is a Sunday but "
            "this batch export is configured to run weekly on Monday.",
        ),
        (
            {"interval": "day", "offset_hour": 13},
            {"start_at": "2026-05-01", "end_at": "2026-06-01"},
            "The provided 'end_at' (2026-06-01T13:00:00+00:00) is in the future",
        ),
    ],
)
async def test_bounds_that_are_none_are_refused(
    api: httpx.AsyncClient, fields: dict[str, Any], body: dict[str, Any], detail: str
) -> None:
    export = await created(api, no_op(**fields))
    for route in ("backfills", "backfill"):
        answer = await api.post(f"/batch_exports/{export['id']}/{route}/", json=body)
        assert refused(answer) == (400, invalid(detail))
    assert (await api.get(f"/batch_exports/{export['id']}/backfills/")).json()["results"] == []


async def test_days_are_dates_in_the_exports_time_zone(api: httpx.AsyncClient) -> None:
    export = await created(api, no_op(interval="day", timezone="US/Pacific", offset_hour=1))
    url = f"/batch_exports/{export['id']}/backfills/"
    assert (await api.post(url, json={"start_at": "2026-01-01", "end_at": "2026-04-01"})).status_code == 201
    [backfill] = (await api.get(url)).json()["results"]
    assert (backfill["start_at"], backfill["end_at"]) == ("2026-01-01T09:00:00Z", "2026-04-01T08:00:00Z")


async def test_only_some_destinations_go_on_without_an_end(api: httpx.AsyncClient, url: str) -> None:
    assert (await api.post(url, json={"start_at": RANGE["start_at"]})).status_code == 201
    export = await created(api, s3())
    for body in ({"start_at": RANGE["start_at"]}, {}):
        answer = await api.post(f"/batch_exports/{export['id']}/backfills/", json=body)
        assert refused(answer) == (400, invalid("Backfilling a BatchExport with no end date is not allowed"))


@pytest.mark.parametrize(
    "content", [b"{", b"[]", b'{"start_at": "\\u0000"}', b'{"start_at": ' + b"[" * 60 + b"]" * 60 + b"}"]
)
async def test_a_body_that_is_none_is_refused(api: httpx.AsyncClient, url: str, content: bytes) -> None:
    assert (await api.post(url, content=content)).status_code == 400
    missing = await api.post(f"/batch_exports/{NOBODY}/backfills/", content=content)
    assert refused(missing) == (404, {**NOT_FOUND, "detail": "BatchExport not found."})


async def test_a_project_has_so_many_backfills_at_once_and_no_more(
    app: FastAPI, api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, export: dict[str, Any], url: str
) -> None:
    second = await created(api, no_op())
    urls = [url, f"/batch_exports/{second['id']}/backfills/"]
    answers = await asyncio.gather(*(api.post(urls[number % 2], json=RANGE) for number in range(12)))
    assert sorted(answer.status_code for answer in answers) == [201] * LIMIT + [429] * 7
    assert [refused(answer) for answer in answers if answer.status_code == 429] == [(429, TOO_MANY)] * 7
    # The limit comes before the dates, and is each project's own.
    assert refused(await api.post(url, json={"start_at": "x"})) == (429, TOO_MANY)
    sibling = await add_tenant(runtime, organization_id=tenant.organization_id)
    async with open_client(app, sibling) as client:
        other = await created(client, no_op())
        assert (await client.post(f"/batch_exports/{other['id']}/backfills/", json=RANGE)).status_code == 201
    running = next(answer for answer in answers if answer.status_code == 201).json()["backfill_id"]
    paths = [path for path in urls if (await api.get(f"{path}{running}/")).status_code == 200]
    assert (await api.post(f"{paths[0]}{running}/cancel/")).status_code == 200
    assert (await api.post(url, json=RANGE)).status_code == 201


async def test_cancelling_a_backfill_cancels_its_runs(
    api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any], url: str, clock: Clock
) -> None:
    [backfill, other] = await add_backfills(runtime, export, {"status": "Running"}, {"status": "Running"})
    async with runtime.sessions.begin() as session:
        runs = [
            Run(
                export_id=backfill.export_id,
                project_id=backfill.project_id,
                backfill_id=of.id,
                data_interval_end=utc(2026, 1, 1, hour),
                status=status,
            )
            for of, hour, status in (
                (backfill, 1, RunStatus.COMPLETED),
                (backfill, 2, RunStatus.RUNNING),
                (other, 1, RunStatus.RUNNING),
            )
        ]
        session.add_all(runs)
    clock.now += timedelta(minutes=1)
    assert refused(await api.post(f"{url}{backfill.id}/cancel/")) == (200, {"cancelled": True})
    shown = (await api.get(f"{url}{backfill.id}/")).json()
    assert (shown["status"], shown["finished_at"], shown["progress"]) == ("Cancelled", "2026-06-01T12:01:00Z", None)
    async with runtime.sessions() as session:
        assert [(await session.get_one(Run, run.id)).status for run in runs] == ["Completed", "Cancelled", "Running"]


async def test_of_ten_cancels_at_once_one_does_it(
    api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any], url: str
) -> None:
    [backfill] = await add_backfills(runtime, export, {})
    answers = await asyncio.gather(*(api.post(f"{url}{backfill.id}/cancel/") for _ in range(10)))
    detail = "Cannot cancel a backfill that is in 'Cancelled' status"
    assert sorted(answer.status_code for answer in answers) == [200] + [400] * 9
    assert [refused(answer) for answer in answers if answer.status_code == 400] == [(400, invalid(detail))] * 9


async def test_a_backfill_of_another_export_is_not_found(api: httpx.AsyncClient, runtime: Runtime, url: str) -> None:
    [backfill] = await add_backfills(runtime, await created(api, no_op()), {})
    for path in (f"{url}{backfill.id}/", f"{url}{NOBODY}/", f"{url}x/"):
        assert refused(await api.get(path)) == (404, NOT_FOUND)
        assert refused(await api.post(f"{path}cancel/")) == (404, NOT_FOUND)


@pytest.mark.parametrize("ordering", ["created_at", "-created_at", "start_at", "-start_at", "nonsense", None])
async def test_cursors_lead_through_all_pages_and_back(
    api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any], url: str, ordering: str | None
) -> None:
    await add_backfills(
        runtime,
        export,
        *(
            {
                "start_at": utc(2026, 1, 1 + number // 4) if number % 9 else None,
                "created_at": utc(2026, 2, 1 + number // 5),
            }
            for number in range(PAGE_SIZE + 20)
        ),
    )
    params = {} if ordering is None else {"ordering": ordering}
    first = (await api.get(url, params=params)).json()
    second = (await api.get(first["next"])).json()
    assert (len(first["results"]), len(second["results"]), second["next"]) == (PAGE_SIZE, 20, None)
    order = ordering if ordering not in (None, "nonsense") else "-created_at"
    field = order.removeprefix("-")
    keys = [(one[field] or "", one["id"]) for one in (*first["results"], *second["results"])]
    assert keys == sorted(keys, reverse=order.startswith("-"))
    assert len(set(keys)) == PAGE_SIZE + 20
    back = (await api.get(second["previous"])).json()
    assert (back["results"], back["previous"]) == (first["results"], None)


async def test_a_list_costs_the_same_whatever_it_holds(
    api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any], url: str
) -> None:
    costs = []
    for _ in range(4):
        with counting(runtime) as statements:
            assert (await api.get(url)).status_code == 200
        costs.append(len(statements))
        await add_backfills(runtime, export, *[{"start_at": utc(2026, 1, 1)}] * 10)
    assert costs[1:] == [costs[1]] * 3
    assert costs[1] <= 5


async def test_a_deleted_export_gets_no_backfill_from_a_request_at_the_same_time(
    api: httpx.AsyncClient, runtime: Runtime
) -> None:
    for _ in range(5):
        export = await created(api, no_op())
        url = f"/batch_exports/{export['id']}/"
        started, deleted = await asyncio.gather(api.post(f"{url}backfills/", json=RANGE), api.delete(url))
        assert (started.status_code, deleted.status_code) in {(201, 204), (404, 204)}
        if started.status_code == 201:
            async with runtime.sessions() as session:
                backfill = await session.get_one(Backfill, UUID(started.json()["backfill_id"]))
            assert backfill.status == "Cancelled"


async def test_a_backfill_from_the_beginning_of_time_wants_its_flag(
    app: FastAPI, api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, export: dict[str, Any], url: str
) -> None:
    async with runtime.sessions.begin() as session:
        (await session.get_one(Project, tenant.project_id)).flags = {Flag.EARLIEST_BACKFILL: False}
    detail = "Backfilling from the beginning of time is not enabled for this team."
    # Before the limit, and before the dates.
    for body in ({}, {"start_at": None, "end_at": "x"}):
        assert refused(await api.post(url, json=body)) == (400, invalid(detail))
    base_url = f"http://service.test/api/organizations/{tenant.organization_id}"
    async with open_client(app, tenant, base_url=base_url) as client:
        answer = await client.post(f"/batch_exports/{export['id']}/backfill/", json={"end_at": RANGE["end_at"]})
        assert refused(answer) == (400, invalid(detail))
    for _ in range(LIMIT):
        assert (await api.post(url, json=RANGE)).status_code == 201
    assert refused(await api.post(url, json={})) == (400, invalid(detail))
    assert refused(await api.post(url, json={"start_at": "x"})) == (429, TOO_MANY)


HUNDRED_MINUTES = {"start_at": utc(2026, 5, 1), "end_at": utc(2026, 5, 1, 1, 40)}
ALMOST_TWO_HOURS = {"start_at": utc(2026, 5, 1), "end_at": utc(2026, 5, 1, 1, 59)}


@pytest.mark.parametrize(
    ("values", "finished", "progress"),
    [
        ({"status": "Running", **HUNDRED_MINUTES}, ["Completed"], (2, 1, 0.5)),
        ({"status": "Completed", **ALMOST_TWO_HOURS}, ["Completed", "Failed"], (2, 2, 1.0)),
        ({"status": "Starting", **HUNDRED_MINUTES}, [], (2, 0, 0.0)),
        # Cancelled and terminated runs do not count, and what is unfinished does not either.
        ({"status": "Running", **HUNDRED_MINUTES}, ["Failed", "Cancelled", "Terminated", "Running"], (2, 1, 0.5)),
        ({"status": "Running", **HUNDRED_MINUTES}, ["Completed"] * 3, (3, 3, 1.0)),
        ({"status": "Running", "adjusted_start_at": utc(2026, 5, 1, 1), **HUNDRED_MINUTES}, [], (1, 0, 0.0)),
        # Until now: ten and a half days.
        ({"status": "Running", "start_at": utc(2026, 5, 22)}, [], (252, 0, 0.0)),
        ({"status": "Starting", "start_at": utc(2026, 5, 22)}, [], None),
        ({"status": "Completed", "start_at": utc(2026, 5, 1), "finished_at": utc(2026, 5, 2)}, [], (24, 24, 1.0)),
        ({"status": "Running", "end_at": utc(2026, 5, 1)}, [], None),
        ({"status": "Completed", "end_at": utc(2026, 5, 1)}, ["Completed"], (1, 1, 1.0)),
        ({"status": "Running", "total_records_count": 0, **HUNDRED_MINUTES}, [], None),
        ({"status": "Completed", "total_records_count": 0, **HUNDRED_MINUTES}, [], (0, 0, 1.0)),
        ({"status": "Cancelled", **HUNDRED_MINUTES}, ["Completed"], None),
        ({"status": "Failed", **HUNDRED_MINUTES}, ["Completed"], None),
    ],
)
async def test_progress(
    api: httpx.AsyncClient,
    runtime: Runtime,
    export: dict[str, Any],
    url: str,
    values: dict[str, Any],
    finished: list[str],
    progress: tuple[int, int, float] | None,
) -> None:
    [backfill] = await add_backfills(runtime, export, values)
    async with runtime.sessions.begin() as session:
        session.add_all(
            Run(
                export_id=backfill.export_id,
                project_id=backfill.project_id,
                backfill_id=backfill.id,
                data_interval_end=utc(2026, 5, 1, number),
                status=status,
            )
            for number, status in enumerate(finished)
        )
    shown = (await api.get(f"{url}{backfill.id}/")).json()["progress"]
    expected = dict(zip(("total_runs", "finished_runs", "progress"), progress, strict=True)) if progress else None
    assert shown == expected
