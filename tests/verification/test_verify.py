"""Source against destination: what is the same, what is not, and what there is nothing to say of."""

import re
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app.fingerprint import Fingerprint
from app.models import SelectBy
from app.runtime import Runtime
from app.settings import Settings
from tests.cli.commands import environment, run
from tests.factories import add_event
from tests.http.callers import NOT_FOUND, invalid, refused
from tests.verification.exported import EVENTS, START, Exported, MakeExported, execute_one

CONFIGS: list[dict[str, Any]] = [
    {"file_format": "JSONLines"},
    {"file_format": "JSONLines", "compression": "gzip", "max_file_size_mb": 1},
    {"file_format": "JSONLines", "compression": "brotli"},
    {"file_format": "Parquet"},
    {"file_format": "Parquet", "compression": "zstd", "max_file_size_mb": 1},
]


async def verify(api: httpx.AsyncClient, exported: Exported) -> dict[str, Any]:
    answer = await api.get(f"{exported.path}/verify/")
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    assert document["matches"] is (document["differences"] == [])
    return document


async def difference(api: httpx.AsyncClient, exported: Exported) -> str:
    """The first one, of at least one."""
    differences: list[str] = (await verify(api, exported))["differences"]
    return differences[0]


@pytest.mark.parametrize("config", CONFIGS)
async def test_what_was_exported_is_the_same(
    api: httpx.AsyncClient, exported: MakeExported, config: dict[str, Any]
) -> None:
    done = await exported(**config)
    there = await done.s3.visible()
    size = sum(len(data) for key, data in there.items() if not key.endswith("_manifest.json"))
    number = sum(not key.endswith("_manifest.json") for key in there)
    uuid_hash = f"{Fingerprint.of(done.uuids).uuid_hash:016x}"
    assert await verify(api, done) == {
        "run_id": str(done.run_id),
        "status": "Completed",
        "matches": True,
        "identity": "uuid",
        "source": {"rows": EVENTS, "uuid_hash": uuid_hash},
        "destination": {"rows": EVENTS, "uuid_hash": uuid_hash, "bytes": size, "files": number},
        "record": {"rows": EVENTS, "bytes": size, "files": number},
        "differences": [],
    }


async def test_a_run_without_rows_is_the_same(api: httpx.AsyncClient, exported: MakeExported) -> None:
    found = await verify(api, await exported(include_events=["nobody"]))
    assert (found["matches"], found["source"]["rows"], found["destination"]["files"]) == (True, 0, 0)


async def test_an_object_that_is_gone_is_named(api: httpx.AsyncClient, exported: MakeExported) -> None:
    done = await exported()
    [key] = await done.s3.visible()
    await done.delete(key)
    assert await difference(api, done) == (f"'{key}' is not there. Somebody else has deleted it; retry the run.")


async def test_an_object_that_somebody_else_wrote_is_named(api: httpx.AsyncClient, exported: MakeExported) -> None:
    done = await exported()
    [(key, data)] = (await done.s3.visible()).items()
    lines = data.splitlines(keepends=True)
    await done.put(key, b"".join([*lines[:-1], lines[0]]))
    found = (await verify(api, done))["differences"]
    assert found[0].startswith(f"'{key}' is not what the run wrote")
    # As many rows as before; one twice, one missing.
    assert found[-1].startswith(f"The rows differ: {EVENTS} of each, but not the same ones.")


async def test_an_object_that_is_cut_off_cannot_be_read(api: httpx.AsyncClient, exported: MakeExported) -> None:
    done = await exported(compression="gzip")
    [(key, data)] = (await done.s3.visible()).items()
    await done.put(key, data[:-100])
    assert any(f"'{key}' cannot be read" in text for text in (await verify(api, done))["differences"])


async def test_a_manifest_that_lists_other_files_is_named(api: httpx.AsyncClient, exported: MakeExported) -> None:
    done = await exported(max_file_size_mb=1)
    [key] = [key for key in await done.s3.visible() if key.endswith("_manifest.json")]
    await done.put(key, b'{"files": []}')
    assert f"'{key}' lists other files than the run wrote; retry the run." in (await verify(api, done))["differences"]
    await done.put(key, b"[]")
    assert f"'{key}' is no manifest; retry the run." in (await verify(api, done))["differences"]


@pytest.mark.parametrize(
    ("select_by", "advice"),
    [(SelectBy.TIMESTAMP, "a new backfill takes them in"), (SelectBy.INGESTED_AT, "retry the run")],
)
async def test_events_that_arrived_since_are_a_difference(
    api: httpx.AsyncClient, exported: MakeExported, runtime: Runtime, select_by: SelectBy, advice: str
) -> None:
    done = await exported(select_by=select_by)
    async with runtime.sessions.begin() as session:
        await add_event(session, done.project_id, START)
    found = await difference(api, done)
    assert found.startswith(f"The rows differ: {EVENTS + 1} in the event store, {EVENTS} at the destination.")
    assert advice in found


async def test_a_row_that_says_otherwise_is_a_difference(
    api: httpx.AsyncClient, exported: MakeExported, runtime: Runtime
) -> None:
    done = await exported()
    async with runtime.sessions.begin() as session:
        await session.execute(text("UPDATE runs SET records_completed = 1"))
    assert "the run says 1 and" in await difference(api, done)


@pytest.mark.parametrize("status", ["Running", "Failed", "Cancelled"])
async def test_only_completed_runs_can_be_verified(
    api: httpx.AsyncClient, exported: MakeExported, runtime: Runtime, status: str
) -> None:
    done = await exported()
    async with runtime.sessions.begin() as session:
        await session.execute(text("UPDATE runs SET status = :status"), {"status": status})
    expected = invalid(f"Only a completed run can be verified; this one is '{status}'.")
    assert refused(await api.get(f"{done.path}/verify/")) == (400, expected)


async def test_a_rerun_that_was_cancelled_when_it_could_not_go_back_can_be_verified(
    api: httpx.AsyncClient, exported: MakeExported, runtime: Runtime
) -> None:
    done = await exported(max_file_size_mb=1)
    nothing = "records_completed = NULL, bytes_exported = NULL"
    async with runtime.sessions.begin() as session:
        await session.execute(text(f"UPDATE runs SET status = 'Cancelled', {nothing}"))
    found = await verify(api, done)
    assert (found["matches"], found["record"]["rows"]) == (True, EVENTS)


async def test_a_run_that_was_replaced_is_not_verified(
    api: httpx.AsyncClient, exported: MakeExported, runtime: Runtime
) -> None:
    done = await exported()
    assert (await api.post(f"{done.path}/retry/")).status_code == 201
    rerun = replace(done, run_id=await execute_one(runtime))
    status, body = refused(await api.get(f"{done.path}/verify/"))
    assert (status, body["detail"]) == (
        400,
        "A later run of the same interval has replaced what this one wrote. Verify that run instead.",
    )
    assert (await verify(api, rerun))["matches"] is True


async def test_an_export_that_writes_elsewhere_by_now_cannot_be_compared(
    api: httpx.AsyncClient, exported: MakeExported
) -> None:
    done = await exported()
    change = {"destination": {"type": "S3", "config": {"bucket_name": "another"}}}
    assert (await api.patch(f"/batch_exports/{done.export_id}/", json=change)).status_code == 200
    status, body = refused(await api.get(f"{done.path}/verify/"))
    assert status == 400
    assert "/another by now, and this run wrote to s3://" in body["detail"]


async def test_a_destination_that_is_away_is_no_difference(
    api: httpx.AsyncClient, exported: MakeExported, runtime: Runtime
) -> None:
    done = await exported()
    async with runtime.sessions.begin() as session:
        await session.execute(text("UPDATE run_files SET location = 's3://127.0.0.1:1/exports'"))
    change = {"destination": {"type": "S3", "config": {"endpoint_url": "http://127.0.0.1:1", "bucket_name": "exports"}}}
    assert (await api.patch(f"/batch_exports/{done.export_id}/", json=change)).status_code == 200
    status, body = refused(await api.get(f"{done.path}/verify/"))
    assert (status, body["code"]) == (503, "service_unavailable")
    assert body["detail"].startswith(
        "The run cannot be verified just now. Transient: bucket 'exports' at http://127.0.0.1:1"
    )


async def test_a_destination_that_refuses_says_why(api: httpx.AsyncClient, exported: MakeExported) -> None:
    done = await exported()
    change = {"destination": {"type": "S3", "config": {"aws_access_key_id": "wrong"}}}
    assert (await api.patch(f"/batch_exports/{done.export_id}/", json=change)).status_code == 200
    status, body = refused(await api.get(f"{done.path}/verify/"))
    assert status == 400
    assert body["detail"].startswith("The run cannot be verified. Misconfigured: bucket 'exports'")


@pytest.mark.parametrize("shape", [{}, {"max_file_size_mb": 1}])
async def test_what_lies_beside_is_a_difference(
    api: httpx.AsyncClient, exported: MakeExported, shape: dict[str, int]
) -> None:
    done = await exported(**shape)
    key = next(key for key in await done.s3.visible() if key.endswith(".jsonl"))
    more = re.sub(r"(-\d+)?\.jsonl$", "-17.jsonl", key)
    await done.put(more, b"")
    await done.put(f"{key}.txt", b"")
    assert (await difference(api, done)).startswith(f"'{more}' lies there as well, and the run did not write it.")


async def test_a_run_of_before_there_were_records_says_so(
    api: httpx.AsyncClient, exported: MakeExported, runtime: Runtime
) -> None:
    done = await exported()
    async with runtime.sessions.begin() as session:
        await session.execute(text("DELETE FROM run_files"))
    status, body = refused(await api.get(f"{done.path}/verify/"))
    assert (status, body["detail"]) == (
        400,
        "This run is of before objects were put on record. Retry it, and verify the new run.",
    )


async def test_what_takes_too_long_is_for_the_command_line(
    api: httpx.AsyncClient, app: FastAPI, exported: MakeExported, runtime: Runtime
) -> None:
    done = await exported()
    hasty = runtime.settings.model_copy(update={"verify_time_limit": START - START})
    app.state.runtime = replace(runtime, settings=hasty)
    status, body = refused(await api.get(f"{done.path}/verify/"))
    assert (status, body["detail"]) == (
        400,
        f"This run cannot be verified within 0 seconds. Use: batch-exports runs verify {done.run_id}",
    )


async def test_only_so_many_at_once(api: httpx.AsyncClient, app: FastAPI, exported: MakeExported) -> None:
    done = await exported()
    app.state.verifying = 2
    assert (await api.get(f"{done.path}/verify/")).status_code == 503
    app.state.verifying = 1
    assert (await verify(api, done))["matches"] is True
    assert app.state.verifying == 1


async def test_no_run_no_verification(api: httpx.AsyncClient, exported: MakeExported) -> None:
    done = await exported()
    other = f"/batch_exports/{done.export_id}/runs/{done.export_id}/verify/"
    assert refused(await api.get(other)) == (404, NOT_FOUND)


async def test_the_command_line_says_the_same(exported: MakeExported, settings: Settings) -> None:
    done = await exported()
    env = environment(settings, BATCH_EXPORTS_ALLOWED_PRIVATE_HOSTS="127.0.0.1")
    found = await run(env, "runs", "verify", str(done.run_id), "--json")
    assert (found.document["matches"], found.document["source"]["rows"]) == (True, EVENTS)
    plain = await run(env, "runs", "verify", str(done.run_id))
    assert plain.status == 0
    assert plain.out.splitlines()[-1] == "They are the same."
    [key] = await done.s3.visible()
    await done.delete(key)
    spoiled = await run(env, "runs", "verify", str(done.run_id), "--json")
    assert spoiled.status == 1
    assert '"matches": false' in spoiled.out
    assert spoiled.err.startswith(f"batch-exports: 3 differences; the first: '{key}' is not there.")
    unknown = await run(env, "runs", "verify", str(done.export_id))
    assert unknown.reason == f"batch-exports: There is no run {done.export_id}."
