"""Real events in, the same events out: every uuid and every property, exactly."""

import gzip
import io
import json
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.embedded import Stack
from app.settings import Settings
from tests.journeys.service import Service, open_service, worker_process

DATA = Path(__file__).parents[3] / "shared" / "data"
REAL = DATA / "git-events-50k.jsonl.gz"
HOSTILE = DATA / "hostile-events.jsonl.gz"
START, END = "2026-11-01", "2026-11-09"

FORMATS = {
    "jsonl": {"file_format": "JSONLines", "compression": "gzip", "prefix": "journey/jsonl"},
    "parquet": {"file_format": "Parquet", "compression": "zstd", "prefix": "journey/parquet"},
}

Events = dict[str, tuple[Any, ...]]
"""By uuid: event, distinct_id, timestamp, properties."""


def exact(text: str | bytes) -> Any:
    """JSON to values that are equal only when every digit is."""
    return json.loads(text, parse_float=Decimal)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)


def needs(path: Path) -> pytest.MarkDecorator:
    return pytest.mark.skipif(not path.exists(), reason=f"{path.name} is not beside the project, in shared/data")


def sanitised(value: Any) -> Any:
    """The one documented change: NUL and lone surrogates are removed from strings and keys."""
    match value:
        case str():
            return re.sub("[\x00\ud800-\udfff]", "", value)
        case dict():
            return {sanitised(key): sanitised(item) for key, item in value.items()}
        case list():
            return [sanitised(item) for item in value]
        case _:
            return value


def read_input(path: Path) -> Events:
    with gzip.open(path) as lines:
        events = [exact(line) for line in lines]
    return {
        event["uuid"]: (
            sanitised(event["event"]),
            sanitised(event["distinct_id"]),
            utc(event["timestamp"]),
            sanitised(event["properties"]),
        )
        for event in events
    }


def read_jsonl(objects: Iterable[bytes]) -> tuple[int, Events]:
    rows = [exact(line) for data in objects for line in gzip.decompress(data).split(b"\n") if line]
    return len(rows), {
        row["uuid"]: (row["event"], row["distinct_id"], utc(row["timestamp"]), row["properties"]) for row in rows
    }


def read_parquet(objects: Iterable[bytes]) -> tuple[int, Events]:
    rows: list[dict[str, Any]] = []
    for data in objects:
        table = pq.read_table(io.BytesIO(data))
        assert table.schema.field("timestamp").type == pa.timestamp("us", tz="UTC")
        assert table.schema.field("properties").type == pa.string()
        rows += table.to_pylist()
    return len(rows), {
        row["uuid"]: (row["event"], row["distinct_id"], row["timestamp"], exact(row["properties"])) for row in rows
    }


async def export_everything(service: Service, path: Path) -> dict[str, tuple[int, Events]]:
    """Load a file and export its range in both formats, with one worker process; what the objects hold."""
    loaded = await service.cli("events", "load", str(path), "--project", str(service.project_id))
    assert loaded["rejected"] == 0
    exports = {name: await service.create_export(config, paused=True) for name, config in FORMATS.items()}
    backfills = {name: await service.backfill(export_id, START, END) for name, export_id in exports.items()}
    async with worker_process(service):
        for name, export_id in exports.items():
            backfill = await service.finished_backfill(export_id, backfills[name])
            assert backfill["status"] == "Completed"
            assert {run["status"] for run in await service.runs(export_id)} == {"Completed"}
    return {
        "jsonl": read_jsonl((await service.objects("journey/jsonl/")).values()),
        "parquet": read_parquet((await service.objects("journey/parquet/")).values()),
    }


@needs(REAL)
async def test_real_events_come_back_exactly(stack: Stack, settings: Settings) -> None:
    expected = read_input(REAL)
    async with open_service(stack, settings) as service:
        exported = await export_everything(service, REAL)
    for count, events in exported.values():
        assert count == len(expected) == 50_000
        assert events == expected


@needs(HOSTILE)
async def test_hostile_events_fail_no_run_and_come_back_sanitised(stack: Stack, settings: Settings) -> None:
    expected = read_input(HOSTILE)
    async with open_service(stack, settings) as service:
        exported = await export_everything(service, HOSTILE)
    for count, events in exported.values():
        assert count == len(expected) == 1_792
        assert events == expected
