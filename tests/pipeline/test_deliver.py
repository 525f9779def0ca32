"""Source, format and destination put together from a run's row."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.destinations.base import Unfenced, Written
from app.embedded import Stack
from app.embedded.state import LOOPBACK, free_port
from app.errors import LeaseLost, Misconfigured, SourceUnavailable, Unsupported
from app.formats import FORMATS
from app.models import SelectBy
from app.pipeline import deliver as pipeline
from app.pipeline.deliver import file_extension
from app.runs.claim import Claim
from app.runtime import Runtime
from app.sources import open_source
from tests import factories
from tests.destinations.harness import S3Harness
from tests.destinations.rows import read_file
from tests.factories import add_event, utc

START, END = utc(2026, 3, 1), utc(2026, 3, 1, 1)
TEAM = 7
SECRET = "sesame0123456789"


def make_claim(runtime: Runtime, destination: str = "NoOp", config: Any = None, **values: Any) -> Claim:
    usual = {"project_id": TEAM, "destination_type": destination, "start": START, "end": END}
    return factories.make_claim(**{**usual, "destination_config": runtime.cipher.seal(config or {}), **values})


async def deliver(runtime: Runtime, claim: Claim) -> Written:
    return (await pipeline.deliver(runtime, claim, Unfenced())).written


async def add_events(runtime: Runtime, *events: str) -> None:
    async with runtime.sessions.begin() as session:
        for number, event in enumerate(events):
            # Happened long before it arrived, so that the two ways to select differ.
            moment = START + timedelta(minutes=number)
            await add_event(session, TEAM, moment - timedelta(days=1), inserted_at=moment, event=event)


async def test_a_run_selects_by_what_its_row_says(runtime: Runtime) -> None:
    await add_events(runtime, "a", "b", "c")
    by_arrival = make_claim(runtime)
    by_timestamp = make_claim(runtime, select_by=SelectBy.TIMESTAMP)
    assert await deliver(runtime, by_arrival) == Written(rows=3, bytes=0)
    assert await deliver(runtime, by_timestamp) == Written(rows=0, bytes=0)
    a_day_earlier = make_claim(runtime, select_by=SelectBy.TIMESTAMP, start=None, end=END - timedelta(days=1))
    assert (await deliver(runtime, a_day_earlier)).rows == 3


async def test_a_config_includes_and_excludes_events(runtime: Runtime) -> None:
    await add_events(runtime, "a", "a", "b", "c")
    config: dict[str, Any] = {"include_events": ["a", "b"], "exclude_events": ["b"]}
    assert (await deliver(runtime, make_claim(runtime, config=config))).rows == 2
    config = {"include_events": None, "exclude_events": []}
    assert (await deliver(runtime, make_claim(runtime, config=config))).rows == 4


@pytest.mark.parametrize(
    ("file_format", "compression", "extension"),
    [("JSONLines", None, "jsonl"), ("JSONLines", "gzip", "jsonl.gz"), ("Parquet", "zstd", "parquet")],
)
async def test_rows_become_an_object(
    runtime: Runtime, stack: Stack, file_format: str, compression: str | None, extension: str
) -> None:
    await add_events(runtime, "a", "b", "c")
    s3 = S3Harness("S3", stack)
    config = {**stack.s3, "prefix": s3.prefix, "file_format": file_format, "compression": compression}
    written = await deliver(runtime, make_claim(runtime, "S3", config))
    [(key, data)] = (await s3.visible()).items()
    assert key == f"{s3.prefix}/2026-03-01T00:00:00+00:00-2026-03-01T01:00:00+00:00.{extension}"
    rows = read_file(data, file_format, compression)
    assert sorted(row["event"] for row in rows) == ["a", "b", "c"]
    assert "team_id" not in rows[0]
    assert (written.rows, written.bytes) == (3, len(data))


async def test_files_of_a_set_size_exceed_it_by_little(runtime: Runtime, stack: Stack) -> None:
    async with runtime.sessions.begin() as session:
        for _ in range(60):
            properties = f'{{"text": "{"x" * 50_000}"}}'
            await add_event(session, TEAM, START, properties=properties)
    s3 = S3Harness("S3", stack)
    config = {**stack.s3, "prefix": s3.prefix, "max_file_size_mb": 1}
    written = await deliver(runtime, make_claim(runtime, "S3", config))
    assert written.rows == 60
    assert len(written.files) == 3
    assert all(1_000_000 <= file.bytes <= 1_150_000 for file in written.files[:-1])


async def test_a_lost_lease_is_passed_on(runtime: Runtime) -> None:
    class Lost(Unfenced):
        async def confirm(self) -> None:
            raise LeaseLost

    with pytest.raises(LeaseLost):
        await pipeline.deliver(runtime, make_claim(runtime), Lost())


@pytest.mark.parametrize("model", ["hogql", "events ", ""])
async def test_another_model_is_unsupported(runtime: Runtime, model: str) -> None:
    with pytest.raises(Unsupported, match="exports events, persons and sessions"):
        await deliver(runtime, make_claim(runtime, model=model))


async def test_an_unknown_destination_is_unsupported(runtime: Runtime) -> None:
    with pytest.raises(Unsupported, match="Abacus"):
        await deliver(runtime, make_claim(runtime, "Abacus"))


@pytest.mark.parametrize("sealed", [b"", b"rubbish", b"gAAAAA"])
async def test_a_config_that_cannot_be_decrypted_is_a_misconfiguration(runtime: Runtime, sealed: bytes) -> None:
    with pytest.raises(Misconfigured, match="cannot be decrypted"):
        await deliver(runtime, make_claim(runtime, destination_config=sealed))


@pytest.mark.parametrize(
    "change",
    [{"bucket_name": None}, {"region": 1}, {"max_file_size_mb": SECRET}, {"endpoint_url": "http://[oops"}],
    ids=str,
)
async def test_a_config_of_another_time_is_a_misconfiguration_and_no_secret_is_told(
    runtime: Runtime, stack: Stack, change: dict[str, Any]
) -> None:
    config = {**stack.s3, "prefix": "p", "aws_secret_access_key": SECRET, **change}
    with pytest.raises(Misconfigured, match="not valid in this version") as raised:
        await deliver(runtime, make_claim(runtime, "S3", config))
    assert SECRET not in str(raised.value)


async def test_keys_that_another_version_stored_are_left_aside(runtime: Runtime) -> None:
    config = {"arg": "x", "left_from_an_older_version": SECRET}
    assert await deliver(runtime, make_claim(runtime, config=config)) == Written(rows=0, bytes=0)


@pytest.mark.parametrize("change", [{"file_format": "Avro"}, {"compression": "zstd"}], ids=str)
async def test_a_format_that_there_is_not_is_unsupported(
    runtime: Runtime, stack: Stack, change: dict[str, Any]
) -> None:
    with pytest.raises(Unsupported, match="this version cannot"):
        await deliver(runtime, make_claim(runtime, "S3", {**stack.s3, "prefix": "p", **change}))


async def test_an_event_store_that_is_away_is_told_as_such(runtime: Runtime) -> None:
    away = open_source(f"postgresql://someone:{SECRET}@{LOOPBACK}:{free_port()}/db", batch_bytes=65536)
    with pytest.raises(SourceUnavailable):
        await deliver(replace(runtime, source=away), make_claim(runtime))


def test_the_codec_is_named_except_in_parquet() -> None:
    assert file_extension(FORMATS["JSONLines"], None, False) == "jsonl"
    assert file_extension(FORMATS["JSONLines"], "brotli", False) == "jsonl.br"
    assert file_extension(FORMATS["Parquet"], "brotli", False) == "parquet"
    assert file_extension(FORMATS["Parquet"], "brotli", True) == "parquet.br"
    assert file_extension(FORMATS["Parquet"], None, True) == "parquet"
