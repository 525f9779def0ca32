"""Seeing what an export would write before it is there."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import func, select

from app.destinations import DESTINATIONS
from app.embedded.state import free_port
from app.events.retention import prune
from app.models import Export
from app.preview import sample
from app.runtime import Runtime
from app.sources import open_source
from tests.conftest import Clock
from tests.factories import add_event, utc
from tests.http.callers import Tenant, open_client, refused, s3

NOW = utc(2026, 3, 1, 12, 30)
LAST = utc(2026, 3, 1, 11, 30)
"""In the latest interval, of an hourly export."""
COLUMNS = {
    "uuid": "String",
    "event": "String",
    "properties": "JSON",
    "distinct_id": "String",
    "person_id": "String",
    "person_properties": "JSON",
    "elements_chain": "String",
    "timestamp": "DateTime",
    "created_at": "DateTime",
    "_inserted_at": "DateTime",
}


@pytest.fixture(autouse=True)
def _now(clock: Clock) -> None:
    clock.now = NOW


async def add(runtime: Runtime, tenant: Tenant, count: int = 3, **values: Any) -> None:
    async with runtime.sessions.begin() as session:
        for number in range(count):
            moment = LAST + timedelta(seconds=number)
            await add_event(session, tenant.project_id, moment, **{"properties": '{"path": "/a", "n": 1.50}', **values})


async def preview(api: httpx.AsyncClient, config: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    answer = await api.post("/batch_exports/preview/", json=body(config, **fields))
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def body(config: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    return {**s3(config), **fields}


async def test_columns_rows_keys_and_sizes_are_shown(api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant) -> None:
    await add(runtime, tenant, 21)
    found = await preview(api, {"prefix": "{table}/{day}", "compression": "gzip", "max_file_size_mb": 50})
    assert {column["name"]: column["type"] for column in found["columns"]} == COLUMNS
    assert len(found["rows"]) == 20
    row = found["rows"][0]
    assert row.keys() == COLUMNS.keys()
    assert (row["event"], row["properties"]) == ("$pageview", {"path": "/a", "n": 1.5})
    window = "2026-03-01T12:00:00+00:00-2026-03-01T13:00:00+00:00"
    assert found["next_runs"][0] == {
        "data_interval_start": "2026-03-01T12:00:00Z",
        "data_interval_end": "2026-03-01T13:00:00Z",
        "keys": [f"events/01/{window}-0.jsonl.gz", f"events/01/{window}_manifest.json"],
    }
    assert [run["data_interval_start"][11:13] for run in found["next_runs"]] == ["12", "13", "14"]
    assert found["estimate"]["records"] == 3.0  # 21 in seven hours
    assert found["estimate"]["intervals"] == 7
    assert 0 < found["estimate"]["bytes"] < 3 * 300
    assert found["notes"] == []


async def test_the_keys_are_those_that_runs_write(api: httpx.AsyncClient) -> None:
    for config, name in (
        ({"file_format": "Parquet", "compression": "zstd"}, ".parquet"),
        ({}, ".jsonl"),
    ):
        [key] = (await preview(api, config, interval="day", timezone="Europe/Berlin"))["next_runs"][1]["keys"]
        assert key == f"events/2026-03-01T23:00:00+00:00-2026-03-02T23:00:00+00:00{name}"


async def test_rows_are_as_a_reader_of_the_format_sees_them(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant
) -> None:
    await add(runtime, tenant)
    [row, *_] = (await preview(api, {"file_format": "Parquet"}))["rows"]
    assert row["properties"] == '{"path": "/a", "n": 1.50}'
    assert row["timestamp"].startswith("2026-03-01T11:30:0")


async def test_a_select_list_and_filters_apply(api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant) -> None:
    await add(runtime, tenant, 2)
    await add(runtime, tenant, 5, properties='{"path": "/b"}')
    found = await preview(
        api,
        hogql_query="SELECT event, properties.path AS path, toInt(1 + 1) AS two, timestamp FROM events",
        filters=[{"key": "path", "operator": "exact", "type": "event", "value": ["/a"]}],
    )
    types = [(column["name"], column["type"]) for column in found["columns"]]
    assert types == [("event", "String"), ("path", "String"), ("two", "Int64"), ("timestamp", "DateTime")]
    assert [(row["path"], row["two"]) for row in found["rows"]] == [("/a", 2)] * 2
    assert found["estimate"]["records"] == pytest.approx(2 / 7, abs=0.1)


@pytest.mark.parametrize("model", ["persons", "sessions"])
async def test_other_models_have_their_columns(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, model: str
) -> None:
    await add(runtime, tenant, properties='{"$session_id": "s"}')
    found = await preview(api, model=model)
    names = [column["name"] for column in found["columns"]]
    assert "_inserted_at" in names
    assert ("session_id" in names) == (model == "sessions")
    assert len(found["rows"]) == (1 if model == "sessions" else 0)


async def test_rows_are_looked_for_further_back(api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant) -> None:
    async with runtime.sessions.begin() as session:
        await add_event(session, tenant.project_id, NOW - timedelta(days=29))
        await add_event(session, tenant.project_id, NOW - timedelta(days=31))
    found = await preview(api)
    assert len(found["rows"]) == 1
    assert found["estimate"] == {"records": 0, "bytes": 0, "intervals": 7}


async def test_rows_that_have_just_come_in_are_shown(api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant) -> None:
    async with runtime.sessions.begin() as session:
        await add_event(session, tenant.project_id, NOW - timedelta(seconds=1))
    assert len((await preview(api))["rows"]) == 1


@pytest.mark.parametrize("model", ["events", "sessions"])
async def test_what_the_store_keeps_is_shown_where_it_does_not_keep_all(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, model: str
) -> None:
    await add(runtime, tenant, properties='{"$session_id": "s"}')
    await prune(runtime.settings.event_store_dsn, LAST - timedelta(minutes=1))
    assert len((await preview(api, model=model))["rows"]) == (3 if model == "events" else 1)
    await prune(runtime.settings.event_store_dsn, NOW)
    assert (await preview(api, model=model))["rows"] == []


TYPES: dict[str, dict[str, Any]] = {
    "Postgres": {"database": "d", "user": "u", "password": "p", "host": "db.example.com", "table_name": "t"},
    "Snowflake": {"account": "a", "database": "d", "warehouse": "w", "user": "u", "password": "p", "schema": "s"},
    "HTTP": {"url": "https://us.i.posthog.com/batch/", "token": "t"},
    "NoOp": {},
}


@pytest.mark.parametrize("name", TYPES)
async def test_destinations_of_tables_have_their_own_columns(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, name: str
) -> None:
    await add(runtime, tenant, properties='{"$set": {"plan": "pro"}, "$ip": "10.0.0.1"}')
    found = await preview(api, destination={"type": name, "config": TYPES[name]})
    assert [column["name"] for column in found["columns"]] == list(DESTINATIONS[name].columns["events"])
    assert len(found["rows"]) == 3
    assert found["rows"][0].get("people_set", found["rows"][0].get("set", {"plan": "pro"})) == {"plan": "pro"}


async def test_a_store_without_rows_says_so(api: httpx.AsyncClient) -> None:
    found = await preview(api)
    assert (found["rows"], found["notes"]) == ([], ["There were no rows to show in the last 30 days."])


async def test_destinations_without_files_have_no_keys_and_no_bytes(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant
) -> None:
    await add(runtime, tenant, 7)
    found = await preview(api, destination={"type": "NoOp", "config": {}})
    assert [run["keys"] for run in found["next_runs"]] == [[], [], []]
    assert found["estimate"] == {"records": 1, "bytes": None, "intervals": 7}
    assert len(found["rows"]) == 7


async def test_nothing_is_stored(api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant) -> None:
    await add(runtime, tenant)
    await preview(api)
    async with runtime.sessions() as session:
        assert await session.scalar(select(func.count()).select_from(Export)) == 0


@pytest.mark.parametrize(
    ("change", "attr"),
    [
        ({"name": ""}, "name"),
        ({"interval": "decade"}, "interval"),
        ({"filters": "none"}, "filters"),
        ({"destination": s3({"compression": "zstd"})["destination"]}, "destination"),
        ({"hogql_query": "SELECT nothing FROM events"}, None),
    ],
)
async def test_what_a_create_would_refuse_is_refused_alike(
    api: httpx.AsyncClient, change: dict[str, Any], attr: str | None
) -> None:
    sent = {**body(), **change}
    answers = [refused(await api.post(path, json=sent)) for path in ("/batch_exports/", "/batch_exports/preview/")]
    assert answers[0] == answers[1]
    assert (answers[0][0], answers[0][1]["attr"]) == (400, attr)


async def test_values_that_json_cannot_hold_are_shown_somehow(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant
) -> None:
    deep = '{"a":' * 5000 + "1" + "}" * 5000
    await add(runtime, tenant, 1, properties='{"huge": 1e999, "long": ' + "9" * 5000 + ', "bad": "\\u0000x"}')
    await add(runtime, tenant, 1, properties=deep, event="deep")
    [row] = (await preview(api, exclude_events=[]))["rows"]
    assert row["properties"] == {"huge": "1e999", "long": "9" * 5000, "bad": "x"}


async def test_large_rows_make_no_large_answer(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "SHOWN_BYTES", 20_000)
    await add(runtime, tenant, 9, properties='{"text": "' + "x" * 5000 + '"}')
    assert len((await preview(api))["rows"]) == 3


@pytest.mark.usefixtures("locked")
async def test_a_store_that_takes_too_long_is_not_waited_for(app: FastAPI, runtime: Runtime, tenant: Tenant) -> None:
    hasty = runtime.settings.model_copy(update={"preview_time_limit": timedelta(milliseconds=100)})
    app.state.runtime = replace(runtime, settings=hasty)
    async with asyncio.timeout(30), open_client(app, tenant) as api:
        found = await preview(api)
    assert (found["rows"], found["estimate"]) == ([], None)
    assert found["notes"] == ["The event store took longer than 0.1 seconds: not everything was looked at."]
    assert len(found["columns"]) == len(COLUMNS)


async def test_a_store_that_is_away_is_told(app: FastAPI, runtime: Runtime, tenant: Tenant) -> None:
    away = open_source(f"postgresql://postgres@127.0.0.1:{free_port()}/none", batch_bytes=1024)
    app.state.runtime = replace(runtime, source=away)
    async with open_client(app, tenant) as api:
        status, error = refused(await api.post("/batch_exports/preview/", json=body()))
    assert (status, error["code"]) == (503, "service_unavailable")
    assert error["detail"].startswith("There is no preview just now. ")
