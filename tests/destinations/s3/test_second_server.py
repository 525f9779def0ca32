"""The whole contract over an S3 server that is not the embedded one, and an export to it from the API to the bucket."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from app.destinations.base import Earlier
from app.destinations.files import FORMAT_COMPRESSIONS
from app.destinations.objects import upload
from app.destinations.s3.steps import BUCKET_EXISTS, WRITE_ACCESS
from app.destinations.steps import StepResult, Trial, run_step
from app.errors import LeaseLost, Misconfigured
from app.models import Export
from app.runs.claims import ClaimRepository
from app.runtime import Runtime
from tests.destinations import test_contract as contract
from tests.destinations.harness import NETWORK, ScriptedFence, make_target
from tests.destinations.rows import START, Tape, make_batch, make_tape, read_file
from tests.destinations.s3.s3rver import S3rverHarness
from tests.destinations.test_contract import Subject, small_parts
from tests.exports.linking import body
from tests.factories import add_event
from tests.http.callers import Tenant, created
from tests.verification.exported import EVENTS, PROPERTIES, WINDOW, execute_one
from tests.verification.exported import START as FIRST

__all__ = ["small_parts"]

# What it says of formats does not depend on the server; each of them is written once, below.
CASES = [("S3Compatible", "JSONLines", "gzip")]
PROMISES = {name: test for name, test in vars(contract).items() if name.startswith("test_")}
del PROMISES["test_every_registered_destination_is_under_contract"]
globals().update(PROMISES)


@pytest.fixture
def second() -> S3rverHarness:
    return S3rverHarness()


@pytest.fixture(params=CASES, ids=lambda case: "-".join(case))
def subject(request: pytest.FixtureRequest, second: S3rverHarness) -> Subject:
    return Subject(second, request.param)


@pytest.mark.parametrize(
    ("file_format", "compression"),
    [(file_format, codec) for file_format, codecs in FORMAT_COMPRESSIONS.items() for codec in (None, *codecs)],
)
async def test_every_format_is_stored_whole_with_its_manifest_under_its_name(
    second: S3rverHarness, file_format: str, compression: str | None
) -> None:
    config = {"file_format": file_format, "compression": compression, "max_file_size_mb": 1}
    destination = second.make(**config, legacy_parquet_extension=True)
    tape = make_tape(batches=4)
    written = await destination.write(tape.play(), make_target(destination, max_file_bytes=4000))
    visible = await second.visible()
    suffix = {None: "", "zstd": ".zst", "lz4": ".lz4", "snappy": ".sz", "gzip": ".gz", "brotli": ".br"}[compression]
    extension = {"Parquet": "parquet", "JSONLines": "jsonl"}[file_format]
    assert written.manifest is not None
    assert json.loads(visible.pop(written.manifest.key))["files"] == [file.key for file in written.files]
    if file_format == "Parquet" or compression is None:  # what compresses text keeps it for longer than this
        assert len(written.files) > 1
    assert all(file.key.endswith(f"-{number}.{extension}{suffix}") for number, file in enumerate(written.files))
    assert set(visible) == {file.key for file in written.files}
    rows = [row for file in written.files for row in read_file(visible[file.key], file_format, compression)]
    assert rows == tape.rows


async def test_a_file_in_parts_is_whole(second: S3rverHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "PART_BYTES", 5 * 1024 * 1024)
    tape = Tape([make_batch(first, 1, size=1024 * 1024) for first in range(11)])
    destination = second.make()
    await destination.write(tape.play(), make_target(destination))
    [data] = (await second.visible()).values()
    assert read_file(data, "JSONLines", None) == tape.rows


async def test_a_rerun_with_fewer_files_deletes_those_it_replaces(second: S3rverHarness) -> None:
    destination = second.make(max_file_size_mb=1)
    before = await destination.write(make_tape(4).play(), make_target(destination, max_file_bytes=6000))
    stale = tuple(file.key for file in before.files[1:])
    fence = ScriptedFence(Earlier(stale, replaces=True))
    tape = make_tape(1, 5)
    written = await destination.write(tape.play(), make_target(destination, fence=fence, epoch=2))
    assert written.manifest is not None
    assert written.undeleted == ()
    assert set(await second.visible()) == {written.files[0].key, written.manifest.key}


async def test_an_attempt_that_lost_its_run_takes_nothing_of_the_next_away(second: S3rverHarness) -> None:
    """Where the store knows no conditions, what each attempt asks before it commits keeps them apart."""
    destination = second.make()
    tape = make_tape(batches=2)
    await destination.write(tape.play(), make_target(destination, epoch=2))
    fence = ScriptedFence(owned=False)
    with pytest.raises(LeaseLost):
        await destination.write(make_tape(batches=1).play(), make_target(destination, fence=fence))
    [data] = (await second.visible()).values()
    assert read_file(data, "JSONLines", None) == tape.rows


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"bucket_name": "no-such-bucket"}, "does not exist"),
        ({"aws_access_key_id": "WRONG"}, "does not know the access key"),
    ],
    ids=str,
)
async def test_what_it_refuses_is_told_as_of_any_store(
    second: S3rverHarness, config: dict[str, Any], words: str
) -> None:
    destination = second.make(**config)
    with pytest.raises(Misconfigured, match=words):
        await destination.write(make_tape().play(), make_target(destination))


async def test_its_connection_test_passes_though_it_cannot_abort(second: S3rverHarness) -> None:
    trial = Trial({**second.server.s3, "prefix": second.prefix}, NETWORK, START)
    for step in (BUCKET_EXISTS, WRITE_ACCESS):
        assert await run_step(step, trial) == StepResult("Passed")
    assert (await second.visible(), await second.unfinished()) == ({}, [])


async def test_an_export_to_it_is_recorded_and_verified(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, second: S3rverHarness
) -> None:
    place = dict(second.server.s3)
    secrets = {key: place.pop(key) for key in ("aws_access_key_id", "aws_secret_access_key")}
    config = {"name": "Second", "endpoint_url": place.pop("endpoint_url")}
    integration = {"kind": "s3-compatible", "config": config, "sensitive_config": secrets}
    made = (await api.post("/integrations/", json=integration)).json()
    place |= {"prefix": second.prefix, "file_format": "Parquet", "compression": "zstd", "max_file_size_mb": 1}
    export = await created(api, body("S3Compatible", place, made["id"]))
    async with runtime.sessions.begin() as session:
        for number in range(EVENTS):
            await add_event(session, tenant.project_id, FIRST + timedelta(minutes=number), properties=PROPERTIES)
        row = await session.get_one(Export, export["id"])
        await ClaimRepository(session).add(row, [WINDOW], timedelta(0))
    run_id = await execute_one(runtime)
    path = f"/batch_exports/{export['id']}/runs/{run_id}/"
    run = (await api.get(path)).json()
    assert (run["status"], run["latest_error"], run["records_completed"]) == ("Completed", None, EVENTS)
    verified = (await api.get(f"{path}verify/")).json()
    assert (verified["matches"], verified["differences"]) == (True, [])
    assert verified["destination"]["rows"] == EVENTS
    assert len(await second.visible()) == 2
