"""Logs over HTTP: the contract's section 8."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app.logs.lines import Level, Line
from app.logs.repository import LogRepository
from app.models import ApiKey, Export, Run
from app.runtime import Runtime
from tests.conftest import Clock
from tests.factories import utc
from tests.http.callers import NOT_FOUND, Tenant, add_tenant, created, error, invalid, no_op, open_client, refused
from tests.http.statements import counting

NOBODY = "0190a5a8-0000-7000-8000-000000000000"
NOW = utc(2026, 6, 1, 12)
NOTHING: dict[str, Any] = {"count": 0, "next": None, "previous": None, "results": []}


@pytest.fixture
async def export(api: httpx.AsyncClient) -> dict[str, Any]:
    return await created(api, no_op())


@pytest.fixture
def url(export: dict[str, Any]) -> str:
    return f"/batch_exports/{export['id']}/logs/"


@pytest.fixture
async def organization(app: FastAPI, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    base_url = f"http://service.test/api/organizations/{tenant.organization_id}"
    async with open_client(app, tenant, base_url=base_url) as client:
        yield client


async def add_run(runtime: Runtime, export: dict[str, Any], hour: int = 0) -> Run:
    async with runtime.sessions.begin() as session:
        row = await session.get_one(Export, UUID(export["id"]))
        run = Run(export_id=row.id, project_id=row.project_id, data_interval_end=utc(2026, 6, 1, hour))
        session.add(run)
    return run


async def add_lines(
    runtime: Runtime,
    export: dict[str, Any],
    *messages: str,
    run_id: UUID | None = None,
    level: Level = Level.INFO,
    first: datetime = NOW,
) -> None:
    """One a second, oldest first."""
    export_id = UUID(export["id"])
    lines = [
        (first + timedelta(seconds=number), Line(export_id, run_id, level, message))
        for number, message in enumerate(messages)
    ]
    async with runtime.sessions.begin() as session:
        await LogRepository(session).add(lines)


async def read(api: httpx.AsyncClient, url: str, **params: Any) -> list[str]:
    answer = await api.get(url, params=params)
    assert answer.status_code == 200, answer.text
    document = answer.json()
    assert document["count"] == len(document["results"])
    return [entry["message"] for entry in document["results"]]


async def test_an_export_without_lines_has_an_empty_log(
    api: httpx.AsyncClient, organization: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any], url: str
) -> None:
    run = await add_run(runtime, export)
    assert refused(await api.get(url)) == (200, NOTHING)
    assert refused(await organization.get(url)) == (200, NOTHING)
    assert refused(await api.get(f"/batch_exports/{export['id']}/runs/{run.id}/logs")) == (200, NOTHING)


async def test_entries_are_shown_whole_and_newest_first(
    api: httpx.AsyncClient, organization: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any], url: str
) -> None:
    run = await add_run(runtime, export)
    await add_lines(runtime, export, "one of the run's", run_id=run.id, first=NOW + timedelta(microseconds=5))
    await add_lines(runtime, export, "one of the export's", level=Level.WARNING)
    of_run = {
        "log_source_id": export["id"],
        "instance_id": str(run.id),
        "timestamp": "2026-06-01T12:00:00.000005Z",
        "level": "INFO",
        "message": "one of the run's",
    }
    of_export = {
        "log_source_id": export["id"],
        "instance_id": export["id"],
        "timestamp": "2026-06-01T12:00:00Z",
        "level": "WARNING",
        "message": "one of the export's",
    }
    whole = {"count": 2, "next": None, "previous": None, "results": [of_run, of_export]}
    assert refused(await api.get(url)) == (200, whole)
    assert refused(await organization.get(url)) == (200, whole)
    runs_own = f"/batch_exports/{export['id']}/runs/{run.id}/logs/"
    assert refused(await api.get(runs_own)) == (200, {**whole, "count": 1, "results": [of_run]})
    assert refused(await organization.get(runs_own)) == (404, NOT_FOUND)


async def test_lines_of_one_moment_come_in_the_order_of_their_writing(
    api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any], url: str
) -> None:
    lines = [(NOW, Line(UUID(export["id"]), None, Level.INFO, str(number))) for number in range(20)]
    async with runtime.sessions.begin() as session:
        await LogRepository(session).add(lines)
    assert await read(api, url) == [str(number) for number in reversed(range(20))]


async def test_bounds_are_exclusive(api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any], url: str) -> None:
    await add_lines(runtime, export, "0", "1", "2", "3", first=NOW - timedelta(hours=1))
    assert await read(api, url, after="2026-06-01T11:00:00Z", before="2026-06-01T11:00:03Z") == ["2", "1"]
    assert await read(api, url, after="2026-06-01 11:00:01") == ["3", "2"]
    assert await read(api, url, after="-1h") == ["3", "2", "1"]
    assert await read(api, url, after="", before="", search="", level="", limit="") == ["3", "2", "1", "0"]
    answer = await api.get(url, params={"before": "soon"})
    detail = "'soon' is neither an ISO 8601 datetime nor relative to now, such as -7d."
    assert refused(answer) == (400, invalid(detail, "before"))


@pytest.mark.parametrize(
    ("levels", "expected"),
    [
        (["INFO"], ["INFO"]),
        (["info,ERROR"], ["INFO", "ERROR"]),
        (["Info", "error"], ["INFO", "ERROR"]),
        (["WARN"], ["WARNING"]),
        (["debug, warning,", ""], ["DEBUG", "WARNING"]),
        ([""], ["DEBUG", "INFO", "WARNING", "ERROR"]),
    ],
)
async def test_lines_are_chosen_by_level_in_either_form(
    api: httpx.AsyncClient,
    runtime: Runtime,
    export: dict[str, Any],
    url: str,
    levels: list[str],
    expected: list[str],
) -> None:
    for level in Level:
        await add_lines(runtime, export, level.value, level=level)
    assert set(await read(api, url, level=levels)) == set(expected)


async def test_a_level_that_is_none_is_refused(api: httpx.AsyncClient, url: str) -> None:
    answer = await api.get(url, params={"level": "INFO,LOUD"})
    assert refused(answer) == (400, invalid('"LOUD" is not a valid choice.', "level", "invalid_choice"))


@pytest.mark.parametrize(
    ("search", "expected"),
    [("DONE", ["Done: 5%", "not done"]), ("5%", ["Done: 5%"]), ("_", ["a_b"]), ("\\", ["a\\b"]), ("/", ["a/b"])],
)
async def test_search_is_for_any_part_in_any_case_and_knows_no_wildcards(
    api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any], url: str, search: str, expected: list[str]
) -> None:
    await add_lines(runtime, export, "not done", "Done: 5%", "a_b", "a\\b", "a/b", "a-b")
    assert await read(api, url, search=search) == expected


async def test_a_search_for_nul_is_refused(api: httpx.AsyncClient, url: str) -> None:
    answer = await api.get(f"{url}?search=a%00b")
    detail = "Null characters are not allowed."
    assert refused(answer) == (400, invalid(detail, "search", "null_characters_not_allowed"))


async def test_one_runs_lines_are_picked_by_instance(
    api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any], url: str
) -> None:
    first, second = await add_run(runtime, export), await add_run(runtime, export, 1)
    await add_lines(runtime, export, "first", run_id=first.id)
    await add_lines(runtime, export, "second", run_id=second.id)
    await add_lines(runtime, export, "export")
    for instance_id, expected in (
        (str(first.id), ["first"]),
        (str(second.id).upper(), ["second"]),
        (export["id"], ["export"]),
        (NOBODY, []),
        (f"{export['id']}-2026-06-01T00:00:00Z", []),
    ):
        assert await read(api, url, instance_id=instance_id) == expected
    assert len(await read(api, url, instance_id="")) == 3
    assert await read(api, f"/batch_exports/{export['id']}/runs/{first.id}/logs/") == ["first"]


@pytest.mark.parametrize(
    ("limit", "detail", "code"),
    [
        ("0", "Ensure this value is greater than or equal to 1.", "min_value"),
        ("-5", "Ensure this value is greater than or equal to 1.", "min_value"),
        ("501", "Ensure this value is less than or equal to 500.", "max_value"),
        ("9" * 5000, "Ensure this value is less than or equal to 500.", "max_value"),
        ("many", "A valid integer is required.", "invalid_input"),
        ("1.5", "A valid integer is required.", "invalid_input"),
        ("٣", "A valid integer is required.", "invalid_input"),
        ("-", "A valid integer is required.", "invalid_input"),
    ],
)
async def test_a_limit_out_of_bounds_is_refused(
    api: httpx.AsyncClient, url: str, limit: str, detail: str, code: str
) -> None:
    assert refused(await api.get(url, params={"limit": limit})) == (400, invalid(detail, "limit", code))


async def test_pages_lead_to_one_another(
    api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any], url: str
) -> None:
    await add_lines(runtime, export, *(str(number) for number in range(120)))
    first = (await api.get(url, params={"level": "INFO"})).json()
    assert (first["count"], len(first["results"]), first["previous"]) == (120, 50, None)
    second = (await api.get(first["next"])).json()
    third = (await api.get(second["next"])).json()
    assert (len(third["results"]), third["next"]) == (20, None)
    seen = [entry["message"] for page in (first, second, third) for entry in page["results"]]
    assert seen == [str(number) for number in reversed(range(120))]
    assert (await api.get(third["previous"])).json() == second
    assert (await api.get(second["previous"])).json()["results"] == first["results"]
    assert len((await api.get(url, params={"limit": "500"})).json()["results"]) == 120


async def test_a_log_costs_the_same_whatever_it_holds(
    api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any], url: str
) -> None:
    run = await add_run(runtime, export)
    for path in (url, f"/batch_exports/{export['id']}/runs/{run.id}/logs/"):
        costs = []
        for _ in range(3):
            with counting(runtime) as statements:
                assert (await api.get(path)).status_code == 200
            costs.append(len(statements))
            await add_lines(runtime, export, *["hello"] * 60, run_id=run.id)
        assert costs[1:] == [costs[1]] * 2
        assert costs[1] <= 6


async def test_a_log_is_seen_by_those_who_see_its_export(
    app: FastAPI, api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, export: dict[str, Any], url: str
) -> None:
    run = await add_run(runtime, export)
    await add_lines(runtime, export, "secret plans", run_id=run.id)
    runs_own = f"/batch_exports/{export['id']}/runs/{run.id}/logs/"
    sibling = await add_tenant(runtime, organization_id=tenant.organization_id)
    async with open_client(app, sibling) as client:
        for path in (url, runs_own):
            assert refused(await client.get(path)) == (404, NOT_FOUND)
    other = await created(api, no_op())
    assert refused(await api.get(f"/batch_exports/{other['id']}/runs/{run.id}/logs/")) == (404, NOT_FOUND)
    for path in (f"/batch_exports/{NOBODY}/logs/", "/batch_exports/x/logs/", f"{runs_own[:-6]}x/logs/"):
        assert refused(await api.get(path)) == (404, NOT_FOUND)
    denied = error("authentication_error", "permission_denied", "API key missing required scope 'batch_export:read'")
    reader = await add_tenant(runtime, organization_id=tenant.organization_id, scopes=["batch_export:read"])
    async with open_client(app, reader, base_url=tenant.base_url) as client:
        assert await read(client, url) == ["secret plans"]
    async with runtime.sessions.begin() as session:
        (await session.get_one(ApiKey, reader.key_id)).scopes = ["feature_flag:read"]
    async with open_client(app, reader, base_url=tenant.base_url) as client:
        for path in (url, runs_own):
            assert refused(await client.get(path, params={"limit": "0"})) == (403, denied)
    assert (await api.delete(f"/batch_exports/{export['id']}/")).status_code == 204
    assert refused(await api.get(url)) == (404, NOT_FOUND)


async def test_cancelled_runs_say_so(
    api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any], url: str, clock: Clock
) -> None:
    runs = [await add_run(runtime, export, hour) for hour in range(3)]
    assert (await api.post(f"/batch_exports/{export['id']}/runs/{runs[0].id}/cancel/")).status_code == 200
    clock.now += timedelta(minutes=1)
    [entry] = (await api.get(url)).json()["results"]
    assert entry == {
        "log_source_id": export["id"],
        "instance_id": str(runs[0].id),
        "timestamp": "2026-06-01T12:00:00Z",
        "level": "INFO",
        "message": "The run was cancelled",
    }
