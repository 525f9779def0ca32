"""A download from the request to the rows in a file (the contract's section 12)."""

import gzip
import io
import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import brotli
import httpx
import polars as pl
from sqlalchemy import text

from app.destinations.file_download import InternalBucket
from app.models import Export, Run, RunStatus
from app.runtime import Runtime
from tests.conftest import Clock
from tests.downloads.asking import END, PATH, START, Downloads, ask, asked, fetched, link, query, shown
from tests.factories import add_event
from tests.http.callers import Tenant, error, invalid, refused, s3
from tests.worker.processes import Workers, ended

FORMATS = [
    ("Parquet", None, "parquet"),
    *(("Parquet", codec, "parquet") for codec in ("zstd", "gzip", "brotli", "lz4", "snappy")),
    ("JSONLines", None, "jsonl"),
    ("JSONLines", "gzip", "jsonl.gz"),
    ("JSONLines", "brotli", "jsonl.br"),
]


def rows_of(file: httpx.Response, fmt: str, compression: str | None) -> list[dict[str, Any]]:
    if fmt == "Parquet":
        return pl.read_parquet(io.BytesIO(file.content)).to_dicts()
    # What is unpacked by the client itself is not what was stored.
    assert "Content-Encoding" not in file.headers
    match compression:
        case "gzip":
            data = gzip.decompress(file.content)
        case "brotli":
            data = brotli.decompress(file.content)
        case _:
            data = file.content
    return [json.loads(line) for line in data.splitlines()]


async def test_a_worker_makes_it_and_a_browser_gets_the_file_and_what_has_expired_is_deleted(
    api: httpx.AsyncClient, downloads: Downloads, tenant: Tenant, workers: Workers, runtime: Runtime, clock: Clock
) -> None:
    uuids = await downloads.add_events(tenant.project_id, 3)
    clock.now = datetime.now(UTC) - timedelta(days=8)  # the worker's clock is the world's
    expired = await ask(api)
    await downloads.make()
    clock.now += timedelta(days=8)
    async with workers.start() as worker:
        download_id = await ask(api)
        run = await ended(runtime, (await downloads.row(download_id)).run_id)
        await worker.says("files of a download deleted")
    assert (run.status, run.records_completed) == (RunStatus.COMPLETED, 3), run.latest_error
    document = await shown(api, download_id)
    [file_id] = document["files"]
    assert document == {"status": "Completed", "files": [file_id], "records_completed": 3}
    by_id, by_index, first = [await fetched(api, download_id, part) for part in (file_id, 0, None)]
    assert by_id.content == by_index.content == first.content
    name = 'attachment; filename="events-2026-05-01T000000Z-2026-05-02T000000Z-0.parquet"'
    assert first.headers["Content-Disposition"] == name
    assert {row["uuid"] for row in rows_of(first, "Parquet", None)} == set(uuids)
    entries = (await api.get(f"{PATH}{download_id}/logs/")).json()
    assert {(entry["log_source_id"], entry["instance_id"]) for entry in entries["results"]} == {(download_id,) * 2}
    assert entries["results"][0]["message"].startswith("Done: 3 records exported"), entries
    assert entries["count"] == len(entries["results"])
    assert (await downloads.row(expired)).removed_at is not None
    assert len(await downloads.objects()) == 2
    # A link is a key, and belongs in no log.
    assert "X-Amz-Signature" not in worker.log


async def test_every_format(api: httpx.AsyncClient, downloads: Downloads, tenant: Tenant) -> None:
    uuids = await downloads.add_events(tenant.project_id, 3, properties='{"a": [1, "ü"]}')
    prefix = downloads.runtime.settings.download_prefix
    expected = []
    for fmt, compression, extension in FORMATS:
        # Null is one file, as 0 is.
        size = 0 if compression is None else None
        download_id = await ask(api, file={"format": fmt, "compression": compression, "max_size_mb": size})
        await downloads.make()
        expected.append(f"{prefix}/{tenant.project_id}/{download_id}/{_window(START, END)}.{extension}")
        file = await fetched(api, download_id)
        assert file.headers["Content-Disposition"].endswith(f'-2026-05-02T000000Z.{extension}"')
        rows = rows_of(file, fmt, compression)
        assert {row["uuid"] for row in rows} == set(uuids), (fmt, compression)
        assert rows[0].keys() == {
            *("uuid", "event", "properties", "distinct_id", "person_id", "person_properties", "elements_chain"),
            *("timestamp", "created_at", "_inserted_at"),
        }
        assert rows[0]["properties"] == ('{"a": [1, "ü"]}' if fmt == "Parquet" else {"a": [1, "ü"]})
    assert await downloads.objects() == sorted(expected)


def _window(start: datetime, end: datetime) -> str:
    return f"{start.isoformat()}-{end.isoformat()}"


async def test_many_files_are_fetched_one_by_one_in_the_order_of_their_numbers(
    api: httpx.AsyncClient, downloads: Downloads, tenant: Tenant
) -> None:
    padding = json.dumps({"padding": "x" * 1_000_000})
    uuids = await downloads.add_events(tenant.project_id, 12, properties=padding)
    download_id = await ask(api, file={"format": "JSONLines", "max_size_mb": 1})
    await downloads.make()
    document = await shown(api, download_id)
    assert len(document["files"]) > 10
    keys = await downloads.objects()
    assert len(keys) == len(document["files"]) + 1
    assert [key for key in keys if key.endswith("_manifest.json")]
    files = [await fetched(api, download_id, part) for part in document["files"]]
    numbers = [int(file.headers["Content-Disposition"].rpartition("-")[2].split(".")[0]) for file in files]
    assert numbers == list(range(len(files)))
    assert (await fetched(api, download_id, 10)).content == files[10].content
    assert {row["uuid"] for file in files for row in rows_of(file, "JSONLines", None)} == set(uuids)


async def test_events_are_chosen_by_name_and_by_the_time_that_was_asked_for_and_none_make_no_file(
    api: httpx.AsyncClient, downloads: Downloads, tenant: Tenant, runtime: Runtime
) -> None:
    async with runtime.sessions.begin() as session:
        late = [
            await add_event(session, tenant.project_id, START, event=name, inserted_at=END + timedelta(days=1))
            for name in ("a", "b", "c")
        ]
        early = await add_event(session, tenant.project_id, START - timedelta(days=1), event="a", inserted_at=START)
    cases: Sequence[tuple[dict[str, Any], set[str]]] = (
        ({"include": ["a", "b"], "exclude": ["b"]}, {str(late[0])}),
        ({"include": [], "exclude": None}, set(map(str, late))),
        ({"select_by": "ingested_at"}, {str(early)}),
    )
    for fields, expected in cases:
        download_id = await ask(api, file={"format": "JSONLines"}, **fields)
        await downloads.make()
        rows = rows_of(await fetched(api, download_id), "JSONLines", None)
        assert {row["uuid"] for row in rows} == expected, fields
    download_id = await ask(api, data_interval_end=START.isoformat())
    await downloads.make()
    assert await shown(api, download_id) == {"status": "Completed", "files": [], "records_completed": 0}
    missing = error("invalid_request", "not_found", "No files with index 0")
    assert refused(await link(api, download_id)) == (404, missing)


async def test_names_of_events_are_ignored_for_other_models(
    api: httpx.AsyncClient, downloads: Downloads, tenant: Tenant, store: Any
) -> None:
    session_id = "01968e1c-0000-7000-8000-000000000000"
    await downloads.add_events(tenant.project_id, 2, properties=json.dumps({"$session_id": session_id}))
    person = "'00000000-0000-7000-8000-000000000001'::uuid"
    await store.execute(
        "INSERT INTO event_store.persons (team_id, id, version, properties, created_at, inserted_at) "
        f"VALUES ($1, {person}, 1, '{{}}', $2, $2)",
        tenant.project_id,
        START,
    )
    await store.execute(
        "INSERT INTO event_store.person_distinct_ids (team_id, distinct_id, version, person_id, inserted_at) "
        f"VALUES ($1, 'user', 1, {person}, $2)",
        tenant.project_id,
        START,
    )
    for model in ("persons", "sessions"):
        file, names = {"format": "JSONLines"}, {"include": ["nothing"], "exclude": ["$pageview"]}
        download_id = await ask(api, model=model, file=file, **names)
        await downloads.make()
        [row] = rows_of(await fetched(api, download_id), "JSONLines", None)
        assert row["distinct_id"] == "user", model


async def test_a_query_yields_its_own_columns_of_the_events_that_it_asks_for(
    api: httpx.AsyncClient, downloads: Downloads, tenant: Tenant, store: Any
) -> None:
    await store.execute(
        "UPDATE projects SET flags = '{\"hogql-batch-exports\": true}' WHERE id = $1", tenant.project_id
    )
    await downloads.add_events(tenant.project_id, 5, properties='{"n": 1}')
    await downloads.add_events(tenant.project_id + 1, 5)
    since = (START + timedelta(seconds=2)).isoformat()
    select = "SELECT event, toInt(properties.n) AS n, timestamp FROM events"
    cases = (
        (query(select), 5),
        (query(f"{select} WHERE timestamp >= {{data_interval_start}}", data_interval_start=since), 3),
        (query(f"{select} WHERE timestamp < {{data_interval_end}}", data_interval_end=since), 2),
        (query(f"{select} WHERE event = 'none'"), 0),
    )
    for document, count in cases:
        download_id = await asked(api, document)
        await downloads.make()
        found = await shown(api, download_id)
        assert (found["status"], found["records_completed"]) == ("Completed", count), found
        if count:
            rows = rows_of(await fetched(api, download_id), "JSONLines", None)
            assert {(row["event"], row["n"]) for row in rows} == {("$pageview", 1)}
            assert all(row.keys() == {"event", "n", "timestamp"} for row in rows)
        count_rows = {key: value for key, value in document.items() if key != "file"}
        answer = await api.post(f"{PATH}count_rows/", json=count_rows)
        assert (answer.status_code, answer.json()) == (200, {"count": count})


async def test_a_link_works_for_as_long_as_it_may_and_no_longer_than_the_download(
    api: httpx.AsyncClient, downloads: Downloads, tenant: Tenant, clock: Clock
) -> None:
    await downloads.add_events(tenant.project_id, 1)
    download_id = await ask(api)
    await downloads.make()

    async def seconds() -> int:
        answer = await link(api, download_id)
        assert answer.headers["Cache-Control"] == "no-store"
        return int(parse_qs(urlsplit(answer.headers["Location"]).query)["X-Amz-Expires"][0])

    assert await seconds() == 3600
    clock.now += timedelta(days=7) - timedelta(seconds=90)
    assert await seconds() == 90
    clock.now += timedelta(seconds=90)
    assert refused(await link(api, download_id)) == (400, invalid("This file download has expired"))
    assert (await shown(api, download_id))["status"] == "Completed"


def test_links_lead_to_where_clients_reach_the_store() -> None:
    bucket = InternalBucket(
        name="downloads",
        region="us-east-1",
        endpoint_url="http://minio.internal:9000",
        public_endpoint_url="https://files.example.com",
        access_key="the-access-key",
        secret_key="the-secret-key",
        virtual_style=False,
        prefix="x",
    )
    url = bucket.link("x/1/a b+00:00.parquet", "a.parquet", 60)
    assert url.startswith("https://files.example.com/downloads/x/1/a%20b%2B00%3A00.parquet?")
    asked_for = parse_qs(urlsplit(url).query)
    assert asked_for["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert asked_for["response-content-disposition"] == ['attachment; filename="a.parquet"']
    assert "the-secret-key" not in url + repr(bucket)


async def test_the_export_behind_it_is_nowhere_and_the_operators_bucket_is_open_to_no_other(
    api: httpx.AsyncClient, downloads: Downloads, tenant: Tenant, runtime: Runtime
) -> None:
    download_id = await ask(api)
    async with runtime.sessions() as session:
        run = await session.get_one(Run, (await downloads.row(download_id)).run_id)
        export = await session.get_one(Export, run.export_id)
    assert (export.paused, export.deleted) == (True, True)
    assert (await api.get("/batch_exports/")).json()["results"] == []
    for method, path in (
        ("GET", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "logs/"),
        ("POST", "unpause/"),
        ("POST", "backfills/"),
        ("POST", f"runs/{download_id}/retry/"),
    ):
        answer = await api.request(method, f"/batch_exports/{export.id}/{path}", json={})
        assert answer.status_code == 404, (method, path)
    endpoint = runtime.settings.download_endpoint_url
    answer = await api.post("/batch_exports/", json=s3({"endpoint_url": endpoint}))
    assert refused(answer) == (400, invalid(f"Invalid endpoint_url: '{endpoint}'", "destination"))


async def test_a_download_that_fails_says_why_and_alarms_nobody(
    api: httpx.AsyncClient, downloads: Downloads, tenant: Tenant, runtime: Runtime
) -> None:
    await downloads.add_events(tenant.project_id, 1)
    download_id = await ask(api)
    claim = await downloads.claim()
    async with runtime.sessions.begin() as session:
        await session.execute(text("UPDATE exports SET destination_config = 'unreadable'"))
    # The third attempt of a kind that no repetition mends.
    hopeless = replace(claim, destination_config=b"unreadable", error_class="configuration", failures_alike=2)
    await downloads.executor.execute(hopeless)
    document = await shown(api, download_id)
    assert document["status"] == "Failed"
    assert document["error"].startswith("Misconfigured: Stored credentials cannot be decrypted")
    assert document.keys() == {"status", "error"}
    assert refused(await link(api, download_id)) == (400, invalid("Batch export run has failed"))
    async with runtime.sessions() as session:
        assert (await session.scalars(text("SELECT count(*) FROM notifications"))).one() == 0
