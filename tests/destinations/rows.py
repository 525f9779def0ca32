"""Events for destinations, as batches whose life can be watched, and back from the files they became."""

import gzip
import io
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import brotli
import pyarrow as pa
import pyarrow.parquet as pq

from app.destinations.columns import FILE_EVENTS
from app.sources.columns import EVENT_COLUMNS
from app.streams import Batches

SCHEMA = pa.schema([EVENT_COLUMNS.field(name) for name in FILE_EVENTS])
START = datetime(2026, 3, 1, tzinfo=UTC)


def make_batch(first: int, rows: int, size: int = 200) -> pa.RecordBatch:
    """Events numbered from ``first``, each with ``size`` characters that no codec makes much smaller."""
    noise = random.Random(first)

    def row(number: int) -> dict[str, Any]:
        moment = START + timedelta(seconds=number)
        return {
            "uuid": str(UUID(int=number)),
            "event": "$pageview",
            "properties": json.dumps({"number": number, "noise": noise.randbytes(size // 2).hex()}),
            "distinct_id": f'user "{number}"',
            "person_id": None,
            "person_properties": None,
            "elements_chain": "",
            "timestamp": moment,
            "created_at": moment,
            "_inserted_at": moment,
        }

    return pa.RecordBatch.from_pylist([row(first + index) for index in range(rows)], schema=SCHEMA)


class Tape:
    """A stream of batches that remembers how far it was pulled, and whether it was closed."""

    def __init__(self, batches: Sequence[pa.RecordBatch]) -> None:
        self.batches = batches
        self.pulled = 0
        self.open = False

    async def play(self, before: Callable[[int], Awaitable[None]] | None = None) -> Batches:
        """``before`` is awaited ahead of each batch, with its number, and once more at the end."""
        self.open = True
        try:
            for number, batch in enumerate(self.batches):
                if before is not None:
                    await before(number)
                self.pulled += 1
                yield batch
            if before is not None:
                await before(len(self.batches))
        finally:
            self.open = False

    @property
    def rows(self) -> list[dict[str, Any]]:
        return pa.Table.from_batches(self.batches, SCHEMA).to_pylist()


def make_tape(batches: int = 3, rows: int = 20, size: int = 200) -> Tape:
    return Tape([make_batch(number * rows, rows, size) for number in range(batches)])


async def as_stream(*batches: pa.RecordBatch) -> Batches:
    for batch in batches:
        yield batch


async def collect(items: AsyncIterator[Any]) -> list[Any]:
    return [item async for item in items]


def read_file(data: bytes, file_format: str, compression: str | None) -> list[dict[str, Any]]:
    """The rows of a file in the columns' own types, whatever the format: JSON as text, times as times."""
    if file_format == "Parquet":
        assert data[:4] == data[-4:] == b"PAR1"
        return pq.read_table(io.BytesIO(data)).to_pylist()
    decompress = {None: bytes, "gzip": gzip.decompress, "brotli": brotli.decompress}[compression]
    rows = [json.loads(line) for line in decompress(data).decode().split("\n")[:-1]]
    for row in rows:
        for name in ("timestamp", "created_at", "_inserted_at"):
            row[name] = datetime.fromisoformat(row[name])
        for name in ("properties", "person_properties"):
            row[name] = json.dumps(row[name]) if row[name] is not None else None
    return rows
