"""Filters and select lists on their whole way: from an export's row to the rows of a file."""

import io
import json
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.backfills.advance import Advancer
from app.destinations.base import Unfenced
from app.embedded import Stack
from app.errors import Misconfigured
from app.models import Backfill, Export, Run, RunStatus
from app.pipeline.deliver import Delivered, deliver
from app.runs.claims import ClaimRepository
from app.runtime import Runtime
from app.scheduling.intervals import Window
from tests.destinations.harness import S3Harness
from tests.factories import add_event, make_backfill, make_claim, make_export, utc
from tests.http.callers import Tenant, created, s3
from tests.verification.exported import execute_one

START, END = utc(2026, 3, 1), utc(2026, 3, 1, 1)
TEAM = 7
QUERY = r"""
    SELECT event, lower(properties.$browser) AS browser, toFloat(properties.price) * 2 AS twice,
        toInt(properties.n) AS n, properties.price > 2 AS dear, toDate(timestamp) AS day,
        toStartOfHour(timestamp) AS hour, properties AS document,
        splitByString(',', properties.list) AS list, NULL AS nothing, 'it''s "x"' AS `odd "name"`, uuid = uuid AS same
    FROM events
"""
FILTERS: list[Any] = [
    {"type": "event", "key": "$browser", "operator": "icontains", "value": "fox"},
    {"type": "hogql", "key": "event != 'left out' and properties.price != 5"},
    {"type": "event", "key": "seen", "operator": "is_date_after", "value": "-1d"},
]
SEEN = '"seen": "2026-02-28T12:00:00Z"'
EVENTS = {
    "a": '{"$browser": "Firefox", "price": 1.5, "n": "7", "list": "x,y", ' + SEEN + r', "bad": "\u0000"}',
    "b": '{"$browser": "Fox", "price": 1e999, "n": "many", ' + SEEN + "}",
    "left out": '{"$browser": "Firefox", ' + SEEN + "}",
    "excluded": '{"$browser": "Firefox", ' + SEEN + "}",
    "five": '{"$browser": "Firefox", "price": 5.0, ' + SEEN + "}",
    "chrome": '{"$browser": "Chrome", ' + SEEN + "}",
    "long ago": '{"$browser": "Firefox", "seen": "2026-02-27T12:00:00Z"}',
}
ROWS: list[dict[str, Any]] = [
    {
        "event": "a", "browser": "firefox", "twice": 3.0, "n": 7, "dear": False, "day": date(2026, 3, 1), "hour": START,
        "document": EVENTS["a"].replace(r"\u0000", ""), "list": ["x", "y"], "nothing": None,
        'odd "name"': 'it\'s "x"', "same": True,
    },
    {
        "event": "b", "browser": "fox", "twice": None, "n": None, "dear": False, "day": date(2026, 3, 1), "hour": START,
        "document": EVENTS["b"], "list": None, "nothing": None, 'odd "name"': 'it\'s "x"', "same": True,
    },
]  # fmt: skip


async def add_events(runtime: Runtime, team: int = TEAM) -> None:
    async with runtime.sessions.begin() as session:
        for event, properties in EVENTS.items():
            await add_event(session, team, START + timedelta(minutes=5), event=event, properties=properties)


async def run(runtime: Runtime, stack: Stack, s3_: S3Harness, **values: Any) -> Delivered:
    config = {**stack.s3, "prefix": s3_.prefix, "exclude_events": ["excluded"], **values.pop("config", {})}
    claim = make_claim(
        project_id=TEAM,
        start=START,
        end=END,
        destination_type="S3",
        destination_config=runtime.cipher.seal(config),
        **values,
    )
    return await deliver(runtime, claim, Unfenced())


async def test_filtered_and_computed_rows_in_json_lines(runtime: Runtime, stack: Stack) -> None:
    await add_events(runtime)
    harness = S3Harness("S3", stack)
    delivered = await run(runtime, stack, harness, hogql_query=QUERY, filters=FILTERS)
    [data] = (await harness.visible()).values()
    found = sorted((json.loads(line) for line in data.splitlines()), key=lambda row: str(row["event"]))
    expected = [
        {**row, "day": "2026-03-01", "hour": "2026-03-01T00:00:00.000000Z", "document": json.loads(row["document"])}
        for row in ROWS[:1]
    ]
    assert found[:1] == expected
    assert [row["event"] for row in found] == ["a", "b"]
    assert b'"price": 1e999' in data  # as it came
    assert (delivered.written.rows, delivered.sanitised) == (2, 1)


async def test_filtered_and_computed_rows_in_parquet(runtime: Runtime, stack: Stack) -> None:
    await add_events(runtime)
    harness = S3Harness("S3", stack)
    await run(runtime, stack, harness, hogql_query=QUERY, filters=FILTERS, config={"file_format": "Parquet"})
    [data] = (await harness.visible()).values()
    table = pq.read_table(io.BytesIO(data))
    assert sorted(table.to_pylist(), key=lambda row: str(row["event"])) == ROWS
    moment = pa.timestamp("us", tz="UTC")
    assert table.schema.types == [
        pa.string(), pa.string(), pa.float64(), pa.int64(), pa.bool_(), pa.date32(), moment, pa.string(),
        pa.list_(pa.string()), pa.string(), pa.string(), pa.bool_(),
    ]  # fmt: skip


async def test_filters_alone_leave_the_destinations_columns(runtime: Runtime, stack: Stack) -> None:
    await add_events(runtime)
    harness = S3Harness("S3", stack)
    await run(runtime, stack, harness, filters=FILTERS, config={"include_events": ["a", "chrome", "excluded"]})
    [data] = (await harness.visible()).values()
    [row] = [json.loads(line) for line in data.splitlines()]
    assert row["event"] == "a"
    assert list(row)[:3] == ["uuid", "event", "properties"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (
            {"hogql_query": "SELECT gone(event) FROM events"},
            "query is not valid in this version (Invalid HogQL query: Uns",
        ),
        ({"hogql_query": "SELECT"}, "query is not valid in this version (Failed to parse query)"),
        (
            {"filters": [{"type": "event", "key": "x", "operator": "gone"}]},
            "filters are not valid in this version (Each",
        ),
        ({"filters": {"old": "shape"}}, "filters are not valid in this version ('filters' should be"),
        ({"filters": [{"type": "hogql", "key": "gone"}]}, "filters are not valid in this version (Invalid HogQL in"),
    ],
)
async def test_what_another_version_has_stored_is_a_misconfiguration(
    runtime: Runtime, stack: Stack, values: dict[str, Any], words: str
) -> None:
    with pytest.raises(Misconfigured) as raised:
        await run(runtime, stack, S3Harness("S3", stack), **values)
    assert words in str(raised.value)


async def test_an_export_made_by_the_api_runs_with_its_filters_and_query(
    runtime: Runtime, stack: Stack, tenant: Tenant, api: httpx.AsyncClient
) -> None:
    await add_events(runtime, tenant.project_id)
    harness = S3Harness("S3", stack)
    config = {**stack.s3, "prefix": harness.prefix}
    query = "SELECT event, properties.price AS price FROM events"
    export = await created(api, s3(config, filters=FILTERS[:2], hogql_query=query))
    async with runtime.sessions.begin() as session:
        row = await session.get_one(Export, UUID(export["id"]))
        await ClaimRepository(session).add(row, [Window(START, END)], timedelta(0))
    run_id = await execute_one(runtime)
    async with runtime.sessions() as session:
        done = await session.get_one(Run, run_id)
    assert (done.status, done.records_completed) == (RunStatus.COMPLETED, 4)
    [data] = (await harness.visible()).values()
    assert {tuple(json.loads(line).items()) for line in data.splitlines()} == {
        (("event", "a"), ("price", "1.5")),
        (("event", "b"), ("price", "1e999")),
        (("event", "excluded"), ("price", None)),
        (("event", "long ago"), ("price", None)),
    }


async def test_a_backfill_counts_what_its_runs_would_export(runtime: Runtime) -> None:
    async with runtime.sessions.begin() as session:
        export = await make_export(session, runtime.cipher, filters=FILTERS[:1])
        stale = await make_export(session, runtime.cipher, filters=[{"type": "gone"}])
        backfills = [await make_backfill(session, one, start_at=START, end_at=END) for one in (export, stale)]
        none = await make_export(session, runtime.cipher, filters=[{"type": "hogql", "key": "false"}])
        backfills.append(await make_backfill(session, none, start_at=START, end_at=END))
        ids = [backfill.id for backfill in backfills]
        project_ids = [export.project_id, stale.project_id, none.project_id]
    for project_id in project_ids:
        await add_events(runtime, project_id)
    for backfill_id in ids:
        await Advancer(runtime.sessions, runtime.source, lambda: END, timedelta(0)).advance(backfill_id)
    async with runtime.sessions() as session:
        found = [await session.get_one(Backfill, backfill_id) for backfill_id in ids]
    assert [(one.total_records_count, one.status) for one in found] == [
        (6, "Running"),
        (None, "Running"),
        (0, "Completed"),
    ]
