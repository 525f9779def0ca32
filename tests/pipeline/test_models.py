"""Persons and sessions on their whole way: from the event store to the rows of a file, and through the API."""

import io
import json
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import brotli
import httpx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.backfills.advance import Advancer
from app.destinations.base import Unfenced, Written
from app.destinations.columns import FILE_COLUMNS
from app.embedded import Stack
from app.models import Backfill, SelectBy
from app.pipeline.deliver import deliver
from app.runtime import Runtime
from app.sources.columns import COLUMNS
from tests.conftest import Clock
from tests.destinations.harness import S3Harness
from tests.factories import make_claim, utc
from tests.http.callers import Tenant, created
from tests.sources.people import ANNE, BERT, CREATED, add_mapping, add_person
from tests.sources.store import Connection, add
from tests.verification.exported import execute_one

START, END = utc(2026, 3, 1), utc(2026, 3, 1, 1)
MINUTE = timedelta(minutes=1)
TEAM = 7
URL = "https://shop.test/a?b=\u00e9"

PERSON = {
    "team_id": TEAM,
    "distinct_id": 'a "quoted"\n🦔',
    "person_id": str(ANNE),
    "properties": {"name": "Anne", "age": 42},
    "person_distinct_id_version": 2,
    "person_version": 5,
    "created_at": CREATED,
    "is_deleted": False,
    "_inserted_at": START + 2 * MINUTE,
}
SESSION: dict[str, Any] = {
    **dict.fromkeys(FILE_COLUMNS["sessions"]),
    "session_id": "s",
    "team_id": TEAM,
    "distinct_id": "user",
    "start_timestamp": START,
    "end_timestamp": START + 2 * MINUTE,
    "urls": [URL, "https://shop.test/b"],
    "num_uniq_urls": 2,
    "entry_current_url": URL,
    "entry_pathname": "/a",
    "entry_hostname": "shop.test",
    "end_current_url": "https://shop.test/b",
    "end_pathname": "/b",
    "end_hostname": "shop.test",
    "exit_current_url": "https://shop.test/b",
    "exit_pathname": "/b",
    "pageview_count": 2,
    "autocapture_count": 1,
    "screen_count": 0,
    "page_screen_autocapture_count_up_to": 2,
    "channel_type": "Unknown",
    "session_duration": 120,
    "duration": 120,
    "is_bounce": False,
    "vitals_lcp": 12.25,
    "_inserted_at": START + 2 * MINUTE,
}


async def add_persons(store: Connection, team: int = TEAM) -> None:
    await add_person(store, ANNE, 4, START, team_id=team)
    await add_person(store, ANNE, 5, START + MINUTE, team_id=team, properties=r'{"name": "Anne\u0000",  "age": 42}')
    await add_mapping(store, str(PERSON["distinct_id"]), 2, ANNE, START + 2 * MINUTE, team_id=team)


async def add_sessions(store: Connection, team: int = TEAM) -> None:
    seen: list[tuple[str, dict[str, Any]]] = [
        ("$pageview", {"$current_url": URL}),
        ("$autocapture", {"$web_vitals_LCP_value": 12.25}),
        ("$pageview", {"$current_url": "https://shop.test/b"}),
    ]
    for number, (event, properties) in enumerate(seen):
        document = json.dumps({"$session_id": "s", **properties})
        await add(store, START + number * MINUTE, event, team_id=team, properties=document)


Fill = Callable[[Connection, int], Awaitable[None]]
MODELS: dict[str, tuple[Fill, dict[str, Any]]] = {"persons": (add_persons, PERSON), "sessions": (add_sessions, SESSION)}


def make_s3(stack: Stack, **config: Any) -> tuple[S3Harness, dict[str, Any]]:
    s3 = S3Harness("S3", stack)
    return s3, {**stack.s3, "prefix": f"{s3.prefix}/{{table}}", **config}


async def run(runtime: Runtime, model: str, config: dict[str, Any], **values: Any) -> Written:
    window = {"project_id": TEAM, "start": START, "end": END, **values}
    claim = make_claim(destination_type="S3", destination_config=runtime.cipher.seal(config), model=model, **window)
    return (await deliver(runtime, claim, Unfenced())).written


def told(row: dict[str, Any]) -> dict[str, Any]:
    """As it is in JSON: times as text."""
    return {
        name: value.isoformat().replace("+00:00", ".000000Z") if isinstance(value, datetime) else value
        for name, value in row.items()
    }


@pytest.mark.parametrize("model", MODELS)
async def test_a_row_in_json_lines(runtime: Runtime, stack: Stack, store: Connection, model: str) -> None:
    fill, expected = MODELS[model]
    await fill(store, TEAM)
    s3, config = make_s3(stack, compression="brotli")
    written = await run(runtime, model, config)
    [(key, data)] = (await s3.visible()).items()
    assert key == f"{s3.prefix}/{model}/2026-03-01T00:00:00+00:00-2026-03-01T01:00:00+00:00.jsonl.br"
    [line] = brotli.decompress(data).decode().split("\n")[:-1]
    assert json.loads(line) == told(expected)
    assert list(json.loads(line)) == list(FILE_COLUMNS[model])
    assert written.rows == 1


@pytest.mark.parametrize("model", MODELS)
async def test_a_row_in_parquet(runtime: Runtime, stack: Stack, store: Connection, model: str) -> None:
    fill, expected = MODELS[model]
    await fill(store, TEAM)
    s3, config = make_s3(stack, file_format="Parquet", compression="zstd")
    await run(runtime, model, config)
    [data] = (await s3.visible()).values()
    table = pq.read_table(io.BytesIO(data))
    declared = pa.schema([COLUMNS[model].field(name).remove_metadata() for name in FILE_COLUMNS[model]])
    assert table.column_names == declared.names
    assert all(table.schema.field(field.name).type.equals(field.type) or field.name == "urls" for field in declared)
    [row] = table.to_pylist()
    if "properties" in row:
        row["properties"] = json.loads(row["properties"])
    assert row == expected


@pytest.mark.parametrize(
    ("model", "bounds"), [("persons", (None, None)), ("sessions", (START, START + timedelta(hours=2)))]
)
async def test_files_are_noted_with_the_times_that_their_rows_have(
    runtime: Runtime, stack: Stack, store: Connection, model: str, bounds: tuple[datetime | None, datetime | None]
) -> None:
    """Sessions began at some time; persons are of no time."""
    await add_persons(store)
    for number in range(3):
        moment = START + timedelta(hours=number)
        await add(store, moment, team_id=TEAM, properties=f'{{"$session_id": "{number}"}}')
    _, config = make_s3(stack)
    written = await run(runtime, model, config, end=START + timedelta(hours=3))
    [file] = written.files
    assert (file.min_timestamp, file.max_timestamp) == bounds


@pytest.mark.parametrize("model", MODELS)
async def test_running_an_old_window_again_gives_the_same_bytes_whatever_has_changed_since(
    runtime: Runtime, stack: Stack, store: Connection, model: str
) -> None:
    fill, _ = MODELS[model]
    await fill(store, TEAM)
    s3, config = make_s3(stack)
    await run(runtime, model, config)
    before = await s3.visible()
    await add_person(store, ANNE, 6, END, is_deleted=True)
    await add_mapping(store, str(PERSON["distinct_id"]), 3, BERT, END)
    await add(store, START, "$pageview", team_id=TEAM, properties='{"$session_id": "s"}', inserted_at=END)
    await run(runtime, model, config)
    assert await s3.visible() == before
    # What has changed is in the next window, and there alone.
    assert (await run(runtime, "sessions", config, start=END, end=END + MINUTE)).rows == 1


@pytest.mark.parametrize("model", MODELS)
async def test_event_names_select_nothing_of_other_models(
    runtime: Runtime, stack: Stack, store: Connection, model: str
) -> None:
    fill, _ = MODELS[model]
    await fill(store, TEAM)
    _, config = make_s3(stack, include_events=["nobody"], exclude_events=["$pageview"])
    assert (await run(runtime, model, config)).rows == 1


@pytest.mark.parametrize("model", MODELS)
async def test_a_window_without_rows_leaves_no_file(runtime: Runtime, stack: Stack, model: str) -> None:
    s3, config = make_s3(stack)
    assert (await run(runtime, model, config)).rows == 0
    assert await s3.visible() == {}


@pytest.mark.parametrize("config", [{}, {"file_format": "Parquet", "compression": "zstd"}])
@pytest.mark.parametrize("model", MODELS)
async def test_an_export_is_created_backfilled_and_verified(
    api: httpx.AsyncClient,
    tenant: Tenant,
    runtime: Runtime,
    stack: Stack,
    store: Connection,
    clock: Clock,
    model: str,
    config: dict[str, Any],
) -> None:
    fill, _ = MODELS[model]
    await fill(store, tenant.project_id)
    s3, destination = make_s3(stack, **config)
    body = {
        "name": model,
        "model": model,
        "interval": "hour",
        "destination": {"type": "S3", "config": destination},
    }
    export = await created(api, body)
    path = f"/batch_exports/{export['id']}"
    span = {"start_at": (START - timedelta(hours=5)).isoformat(), "end_at": (END + timedelta(hours=1)).isoformat()}
    answer = await api.post(f"{path}/backfills/", json=span)
    assert answer.status_code == 201, answer.text
    advancer = Advancer(runtime.sessions, runtime.source, clock, timedelta(0))
    runs = []
    while await advancer.advance(answer.json()["backfill_id"]):
        runs.append(await execute_one(runtime))
    shown = (await api.get(f"{path}/backfills/{answer.json()['backfill_id']}/")).json()
    # Begun where there is something, and counted.
    assert (shown["status"], shown["total_records_count"]) == ("Completed", 1)
    assert datetime.fromisoformat(shown["adjusted_start_at"]) == START
    assert shown["select_by"] == SelectBy.TIMESTAMP
    assert len(runs) == 2
    assert len(await s3.visible()) == 1
    found = (await api.get(f"{path}/runs/{runs[0]}/verify/")).json()
    assert (found["matches"], found["source"]["rows"], found["destination"]["rows"]) == (True, 1, 1)


@pytest.mark.parametrize("model", MODELS)
async def test_a_backfill_in_which_there_is_nothing_ends_at_once(
    api: httpx.AsyncClient, runtime: Runtime, stack: Stack, clock: Clock, model: str
) -> None:
    _, destination = make_s3(stack)
    body = {"name": "x", "model": model, "interval": "hour", "destination": {"type": "S3", "config": destination}}
    export = await created(api, body)
    span = {"start_at": START.isoformat(), "end_at": END.isoformat()}
    answer = await api.post(f"/batch_exports/{export['id']}/backfills/", json=span)
    backfill_id = answer.json()["backfill_id"]
    assert await Advancer(runtime.sessions, runtime.source, clock, timedelta(0)).advance(backfill_id) is None
    async with runtime.sessions() as session:
        backfill = await session.get_one(Backfill, backfill_id)
        assert (backfill.status, backfill.total_records_count) == ("Completed", 0)
