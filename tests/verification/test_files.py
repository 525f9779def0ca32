"""What a run has left is on record, to the byte."""

import hashlib
from typing import Any

import httpx
import pytest

from app.embedded import Stack
from app.logs.lines import Level, Line
from app.runtime import Runtime
from tests.http.callers import NOT_FOUND, refused
from tests.verification.exported import EVENTS, MakeExported, execute_one


async def files(api: httpx.AsyncClient, path: str) -> dict[str, Any]:
    answer = await api.get(f"{path}/files/")
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


@pytest.mark.parametrize("config", [{"file_format": "Parquet", "compression": "zstd"}, {"compression": "gzip"}])
async def test_the_records_are_what_lies_there(
    api: httpx.AsyncClient, stack: Stack, exported: MakeExported, config: dict[str, str]
) -> None:
    run = await exported(max_file_size_mb=1, **config)
    there = await run.s3.visible()
    found = await files(api, run.path)
    assert found["location"] == stack.s3["endpoint_url"].replace("http", "s3") + "/exports"
    assert found["manifest"] in there
    assert {file["key"] for file in found["results"]} == there.keys() - {found["manifest"]}
    assert sum(file["rows"] for file in found["results"]) == EVENTS
    assert found["records_sanitised"] == 0
    for file in found["results"]:
        data = there[file["key"]]
        assert (file["bytes"], file["sha256"]) == (len(data), hashlib.sha256(data).hexdigest())
        assert file["replaced_at"] is None
    assert min(file["min_timestamp"] for file in found["results"]) == "2026-03-01T00:00:00Z"
    assert max(file["max_timestamp"] for file in found["results"]) == "2026-03-01T00:39:00Z"


async def test_a_run_that_has_left_nothing_has_no_files(
    api: httpx.AsyncClient, exported: MakeExported, runtime: Runtime
) -> None:
    run = await exported(include_events=["nobody"])
    empty: dict[str, Any] = {"location": None, "results": [], "manifest": None, "records_sanitised": 0}
    assert await files(api, run.path) == empty
    assert await run.s3.visible() == {}


async def test_what_a_rerun_replaces_is_marked(
    api: httpx.AsyncClient, exported: MakeExported, runtime: Runtime
) -> None:
    run = await exported()
    before = await files(api, run.path)
    assert (await api.post(f"{run.path}/retry/")).status_code == 201
    rerun_id = await execute_one(runtime)
    [old] = (await files(api, run.path))["results"]
    [new] = (await files(api, run.path.replace(str(run.run_id), str(rerun_id))))["results"]
    assert old["replaced_at"] is not None
    assert new["replaced_at"] is None
    assert (old["key"], old["sha256"]) == (new["key"], new["sha256"])
    assert before["results"][0]["id"] == old["id"] != new["id"]


async def test_no_run_no_files(api: httpx.AsyncClient, exported: MakeExported) -> None:
    run = await exported()
    other = f"/batch_exports/{run.export_id}/runs/{run.export_id}/files/"
    assert refused(await api.get(other)) == (404, NOT_FOUND)


class Kept:
    """A log that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def write(self, line: Line) -> None:
        self.lines.append(line)


async def test_who_overwrites_another_exports_objects_is_told(exported: MakeExported) -> None:
    first, log = await exported(), Kept()
    second = await exported(prefix=first.s3.prefix, log=log)
    [warning] = [line for line in log.lines if line.level is Level.WARNING]
    assert (warning.export_id, warning.run_id) == (second.export_id, second.run_id)
    assert warning.message.startswith(f"The objects of this run have overwritten those of export {first.export_id}:")


async def test_exports_that_keep_apart_are_told_nothing(exported: MakeExported) -> None:
    log = Kept()
    await exported()
    await exported(log=log)
    assert [line.level for line in log.lines] == [Level.INFO, Level.INFO]
