"""A few rows as they would be in a file: written by the format itself, and read back."""

import json
from collections.abc import Iterator, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from math import isfinite
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from app.formats import FORMATS
from app.streams import Batches, is_json

SHOWN_ROWS: Final = 20
SHOWN_BYTES: Final = 1024 * 1024
"""Of JSON: rows that would make the answer larger are not shown."""
SAMPLE_ROWS: Final = 2_000
SAMPLE_BYTES: Final = 8 * 1024 * 1024
"""What sizes are estimated from: enough for a codec to show what it can do."""


@dataclass(frozen=True, slots=True)
class Sample:
    batches: Sequence[pa.RecordBatch]

    @property
    def rows(self) -> int:
        return sum(batch.num_rows for batch in self.batches)


async def take(batches: Batches) -> Sample:
    """The first rows; the query behind them is ended."""
    taken: list[pa.RecordBatch] = []
    rows = size = 0
    async with aclosing(batches):
        async for batch in batches:
            batch = batch.slice(0, SAMPLE_ROWS - rows)
            taken.append(batch)
            rows, size = rows + batch.num_rows, size + batch.nbytes
            if rows >= SAMPLE_ROWS or size >= SAMPLE_BYTES:
                break
    return Sample(taken)


def size_in_file(sample: Sample, schema: pa.Schema, file_format: str, compression: str | None) -> int:
    return len(_write(sample.batches, schema, file_format, compression))


def shown(sample: Sample, schema: pa.Schema, file_format: str) -> list[dict[str, Any]]:
    """The rows to show, as JSON can hold them."""
    rows: list[dict[str, Any]] = []
    size = 0
    for row in _read(_write(_first(sample.batches), schema, file_format, None), file_format):
        size += len(json.dumps(row))
        if size > SHOWN_BYTES:
            break
        rows.append(row)
    return rows


def type_name(field: "pa.Field[Any]") -> str:
    """As HogQL calls it."""
    if is_json(field):
        return "JSON"
    for matches, name in _TYPES:
        if matches(field.type):
            return name
    return str(field.type)


_TYPES: Final = (
    (pa.types.is_string, "String"),
    (pa.types.is_boolean, "Bool"),
    (pa.types.is_integer, "Int64"),
    (pa.types.is_floating, "Float64"),
    (pa.types.is_timestamp, "DateTime"),
    (pa.types.is_date, "Date"),
    (pa.types.is_list, "Array(String)"),
)


def _first(batches: Sequence[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    left = SHOWN_ROWS
    for batch in batches:
        yield batch.slice(0, left)
        left -= min(left, batch.num_rows)
        if not left:
            return


def _write(
    batches: Iterator[pa.RecordBatch] | Sequence[pa.RecordBatch],
    schema: pa.Schema,
    file_format: str,
    compression: str | None,
) -> bytes:
    encoder = FORMATS[file_format].open(schema, compression)
    return b"".join([*(encoder.encode(batch) for batch in batches if batch.num_rows), encoder.finish()])


def _read(data: bytes, file_format: str) -> Iterator[dict[str, Any]]:
    if file_format == "Parquet":
        for row in pq.read_table(BytesIO(data)).to_pylist():
            yield {name: _in_json(value) for name, value in row.items()}
    else:
        for line in data.split(b"\n"):
            # What is nested deeper than this can read is in the file all the same.
            with suppress(RecursionError):
                if line:
                    yield json.loads(line, parse_float=_float, parse_int=_int)


def _in_json(value: Any) -> Any:
    if isinstance(value, float):
        return value if isfinite(value) else None
    return value.isoformat() if isinstance(value, date) else value


def _float(text: str) -> float | str:
    """Numbers that none of ours can hold are shown as they stand in the file."""
    value = float(text)
    return value if isfinite(value) else text


def _int(text: str) -> int | str:
    return int(text) if len(text) < 1000 else text
