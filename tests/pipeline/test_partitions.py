"""Keys partitioned by the rows on their whole way: made by the API, run, run again, cancelled, and read back."""

import asyncio
import io
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import httpx
import pyarrow.parquet as pq
import pytest
from sqlalchemy import text

from app import failpoints
from app.destinations.base import Unfenced
from app.embedded import Stack
from app.errors import Misconfigured
from app.models import Export, Run, RunStatus
from app.pipeline.deliver import deliver
from app.pipeline.execute import Executor
from app.runs.claims import ClaimRepository
from app.runs.repository import RunRepository
from app.runtime import Runtime
from app.scheduling.intervals import Window
from tests.destinations.harness import S3Harness
from tests.factories import add_event, make_claim, make_export, utc
from tests.http.callers import Tenant, created, s3
from tests.pipeline.attempts import hurried
from tests.sources.browsing import capture
from tests.sources.store import Connection
from tests.verification.exported import execute_one

START, END = utc(2026, 3, 1), utc(2026, 3, 1, 1)
WINDOW = "2026-03-01T00:00:00+00:00-2026-03-01T01:00:00+00:00"
NAMES = ("$pageview", "Ünï/cødé 🦔", "..", "")
FOLDERS = ("%24pageview", "%C3%9Cn%C3%AF%2Fc%C3%B8d%C3%A9%20%F0%9F%A6%94", "%2E%2E", "__HIVE_DEFAULT_PARTITION__")
DAYS = ("2026-02-27", "2026-02-28")


def hive(harness: S3Harness, prefix: str = "event={event}/date={date}", **config: Any) -> dict[str, Any]:
    return {"prefix": f"{harness.prefix}/{prefix}", "partition_rows": True, **config}


async def add_events(runtime: Runtime, team: int) -> dict[str, str]:
    """Of every name two on each of two days, in no order; the names by uuid."""
    async with runtime.sessions.begin() as session:
        return {
            str(await add_event(session, team, utc(2026, 2, day, hour), inserted_at=START, event=name)): name
            for hour in (20, 7)
            for day in (28, 27)
            for name in NAMES
        }


async def add_run(runtime: Runtime, export_id: UUID) -> None:
    async with runtime.sessions.begin() as session:
        export = await session.get_one(Export, export_id)
        await ClaimRepository(session).add(export, [Window(START, END)], timedelta(0))


async def verified(api: httpx.AsyncClient, export_id: str, run_id: UUID) -> dict[str, Any]:
    answer = await api.get(f"/batch_exports/{export_id}/runs/{run_id}/verify/")
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


async def test_an_export_is_run_run_again_with_fewer_partitions_and_read_back(
    runtime: Runtime, stack: Stack, tenant: Tenant, api: httpx.AsyncClient, tmp_path: Path
) -> None:
    uuids = await add_events(runtime, tenant.project_id)
    harness = S3Harness("S3", stack)
    export = await created(api, s3({**stack.s3, **hive(harness, file_format="Parquet")}))
    assert export["destination"]["config"]["partition_rows"] is True
    await add_run(runtime, UUID(export["id"]))
    run_id = await execute_one(runtime)
    visible = await harness.visible()
    manifest = f"{harness.prefix}/{WINDOW}_manifest.json"
    keys = {f"{harness.prefix}/event={name}/date={day}/{WINDOW}.parquet" for name in FOLDERS for day in DAYS}
    assert visible.keys() == keys | {manifest}
    for key in keys:
        rows = pq.read_table(io.BytesIO(visible[key])).to_pylist()
        assert [row["timestamp"].hour for row in rows] == [7, 20]
    found = await verified(api, export["id"], run_id)
    assert (found["matches"], found["destination"]["files"], found["source"]["rows"]) == (True, 8, 16)
    assert read_by_duckdb(tmp_path, {key: visible[key] for key in keys}) == {
        (uuid, name or None) for uuid, name in uuids.items()
    }

    async with runtime.sessions.begin() as session:
        await session.execute(text("DELETE FROM event_store.events WHERE event = '..' OR timestamp < '2026-02-28'"))
    stranger = f"{harness.prefix}/event=%2E%2E/date=2026-02-28/{WINDOW}.jsonl"
    async with harness.client() as client:
        await client.put_object(Bucket=harness.bucket, Key=stranger, Body=b"x")
    assert (await api.post(f"/batch_exports/{export['id']}/runs/{run_id}/retry/")).status_code == 201
    rerun_id = await execute_one(runtime)
    left = {key for key in keys if "date=2026-02-28" in key and "%2E%2E" not in key}
    assert (await harness.visible()).keys() == left | {manifest, stranger}
    assert (await verified(api, export["id"], rerun_id))["matches"]


def read_by_duckdb(directory: Path, objects: dict[str, bytes]) -> set[tuple[str, str | None]]:
    """Uuid and event of all rows, the event as its folder has it; each on the day of its folder."""
    for key, data in objects.items():
        path = directory / key
        path.parent.mkdir(parents=True)
        path.write_bytes(data)
    query = (
        "SELECT uuid, event, date = CAST(timezone('UTC', timestamp) AS DATE) "
        f"FROM read_parquet('{directory}/**/*.parquet', hive_partitioning = true)"
    )
    rows = duckdb.execute(query).fetchall()
    assert all(same for _, _, same in rows)
    return {(uuid, event) for uuid, event, _ in rows}


async def test_a_run_that_is_cancelled_half_way_leaves_nothing(runtime: Runtime, stack: Stack) -> None:
    harness = S3Harness("S3", stack)
    async with runtime.sessions.begin() as session:
        export = await make_export(session, runtime.cipher, destination_type="S3", config={**stack.s3, **hive(harness)})
    await add_events(runtime, export.project_id)
    await add_run(runtime, export.id)
    executor = Executor(replace(runtime, settings=hurried(runtime.settings)), "worker")
    claim = await executor.claim()
    assert claim is not None
    committed = asyncio.Event()

    async def hold(name: str) -> None:
        if name == failpoints.FILE_COMMITTED:
            committed.set()
            await asyncio.Event().wait()

    failpoints.install(hold)
    try:
        execution = asyncio.create_task(executor.execute(claim))
        await asyncio.wait_for(committed.wait(), 30)
        assert await harness.visible()
        async with runtime.sessions.begin() as session:
            await RunRepository(session).cancel(claim.run_id, runtime.clock())
        await execution
    finally:
        failpoints.install(None)
    assert (await harness.visible(), await harness.unfinished()) == ({}, [])
    async with runtime.sessions() as session:
        run = await session.get_one(Run, claim.run_id)
    assert (run.status, run.lease_until) == (RunStatus.CANCELLED, None)


async def run(runtime: Runtime, stack: Stack, harness: S3Harness, config: dict[str, Any], **values: Any) -> list[str]:
    """The folders that a run has written to, below the harness's own."""
    claim = make_claim(
        project_id=7,
        start=START,
        end=END,
        destination_type="S3",
        destination_config=runtime.cipher.seal({**stack.s3, **config}),
        **values,
    )
    written = (await deliver(runtime, claim, Unfenced())).written
    return [file.key.removeprefix(f"{harness.prefix}/").removesuffix(f"/{WINDOW}.jsonl") for file in written.files]


async def test_a_query_that_renames_its_columns_is_partitioned_by_them(runtime: Runtime, stack: Stack) -> None:
    await add_events(runtime, 7)
    harness = S3Harness("S3", stack)
    query = "SELECT timestamp AS at, uuid AS event, event AS name FROM events"
    folders = await run(runtime, stack, harness, hive(harness, include_events=["$pageview"]), hogql_query=query)
    assert folders == [f"event=%24pageview/date={day}" for day in DAYS]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"hogql_query": "SELECT event, toDate(timestamp) AS timestamp FROM events"}, "the column 'timestamp'"),
        ({"hogql_query": "SELECT lower(event) AS event, timestamp FROM events"}, "the column 'event'"),
        ({"model": "persons"}, "which persons do not have"),
        ({"model": "sessions"}, "which sessions do not have"),
    ],
)
async def test_rows_without_what_partitions_are_made_of_are_a_misconfiguration(
    runtime: Runtime, stack: Stack, values: dict[str, Any], told: str
) -> None:
    harness = S3Harness("S3", stack)
    with pytest.raises(Misconfigured, match=told):
        await run(runtime, stack, harness, hive(harness), **values)


async def test_sessions_are_partitioned_by_the_day_they_began(
    runtime: Runtime, stack: Stack, store: Connection
) -> None:
    for number, began in enumerate((START + timedelta(minutes=5), START - timedelta(minutes=5))):
        await capture(store, began, session=f"s{number}", inserted_at=START + timedelta(minutes=10))
    harness = S3Harness("S3", stack)
    folders = await run(runtime, stack, harness, hive(harness, "{date}"), model="sessions")
    assert folders == ["2026-02-28", "2026-03-01"]


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"partition_rows": True}, "'partition_rows' is set, so 'prefix' must name {event} or {date}"),
        ({"partition_rows": True, "prefix": "{event}{date}"}, "two variables of rows in one folder"),
        ({"partition_rows": True, "prefix": "x" * 900 + "/{event}"}, "it makes object keys of 1"),
        ({"partition_rows": "perhaps"}, "Configuration has invalid type: got 'str', expected 'bool'"),
    ],
)
async def test_a_prefix_that_cannot_be_partitioned_is_refused(
    api: httpx.AsyncClient, stack: Stack, config: dict[str, Any], told: str
) -> None:
    answer = await api.post("/batch_exports/", json=s3({**stack.s3, "prefix": "p", **config}))
    assert answer.status_code == 400
    assert told in answer.json()["detail"]
