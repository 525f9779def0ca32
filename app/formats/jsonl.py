"""JSON Lines: one object per line, JSON columns nested, times as ISO 8601 text.

A batch is encoded column by column with Arrow's kernels: each column becomes JSON text, and one kernel joins them into
lines. Only strings that need escaping are touched one by one.
"""

import json
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final, TypeAlias

import brotli
import pyarrow as pa
import pyarrow.compute as pc

from app.formats.base import Encoder
from app.formats.jsonl_reading import read_values
from app.streams import is_json

GZIP_LEVEL: Final = 3
BROTLI_QUALITY: Final = 3
"""Measured on web events: the levels after which files get smaller by a tenth and time doubles. The libraries' own
defaults take four to ten times as long."""

ESCAPED: Final = r'["\\\x00-\x1f]'
"""What JSON does not allow in a string as it is."""

TIME_LENGTHS: Final[Mapping[str, int]] = {"s": 8, "ms": 12, "us": 15, "ns": 18}
"""Characters of a time of day, as Arrow prints it in each unit."""


class JSONLines:
    name: ClassVar[str] = "JSONLines"
    extension: ClassVar[str] = "jsonl"
    compressions: ClassVar[Sequence[str]] = ("gzip", "brotli")
    suffixes: ClassVar[Mapping[str, str]] = {"gzip": "gz", "brotli": "br"}

    def open(self, schema: pa.Schema, compression: str | None, max_bytes: int | None = None) -> Encoder:
        return _Encoder(schema, compression)

    def values(self, path: Path, compression: str | None, column: str | None) -> Iterator[Sequence[str | None]]:
        return read_values(path, compression, column)


class _Encoder:
    def __init__(self, schema: pa.Schema, compression: str | None) -> None:
        self._schema = schema
        self._compress, self._finish = _COMPRESSORS[compression]()

    def encode(self, batch: pa.RecordBatch) -> bytes:
        return self._compress(encode_lines(batch, self._schema))

    def finish(self) -> bytes:
        return self._finish()


Compressor: TypeAlias = tuple[Callable[[memoryview], bytes], Callable[[], bytes]]
"""Streaming: what compresses the next piece, and what ends the stream."""


def _plain() -> Compressor:
    return bytes, bytes


def _gzip() -> Compressor:
    stream = zlib.compressobj(GZIP_LEVEL, wbits=16 + zlib.MAX_WBITS)
    return stream.compress, stream.flush


def _brotli() -> Compressor:
    stream = brotli.Compressor(quality=BROTLI_QUALITY)
    return stream.process, stream.finish


_COMPRESSORS: Final[Mapping[str | None, Callable[[], Compressor]]] = {None: _plain, "gzip": _gzip, "brotli": _brotli}


def encode_lines(batch: pa.RecordBatch, schema: pa.Schema) -> memoryview:
    """A batch as UTF-8 lines, each ended by a newline."""
    pieces: list[Any] = []
    for index, field in enumerate(schema):
        lead = "{" if index == 0 else ","
        pieces += [f"{lead}{json.dumps(field.name, ensure_ascii=False)}:", _as_json(batch.column(index), field)]
    # Large offsets: the lines of one batch may be longer than the 2 GiB that 32-bit offsets reach.
    scalars = [pa.scalar(piece, pa.large_string()) if isinstance(piece, str) else piece for piece in pieces]
    lines = pc.binary_join_element_wise(*scalars, pa.scalar("}\n", pa.large_string()), pa.scalar("", pa.large_string()))
    return _contents(lines)


def _contents(lines: Any) -> memoryview:
    """The values of a string array without nulls, which lie one after another in memory: no copy."""
    if len(lines) == 0:
        return memoryview(b"")
    _, offsets, data = lines.buffers()
    ends = memoryview(offsets).cast("q")
    return memoryview(data)[ends[lines.offset] : ends[lines.offset + len(lines)]]


def _as_json(column: Any, field: "pa.Field[Any]") -> Any:
    """A column as JSON text per value, null included."""
    encode = _encoder_of(field)
    return pc.fill_null(encode(column).cast(pa.large_string()), "null")


def _encoder_of(field: "pa.Field[Any]") -> Callable[[Any], Any]:
    kind = field.type
    if is_json(field):
        return _json_text
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _quoted
    if pa.types.is_timestamp(kind):
        return _time
    if pa.types.is_date32(kind):
        return _date
    if pa.types.is_floating(kind):
        return _finite
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return _printed
    return _one_by_one


def _json_text(column: Any) -> Any:
    # In valid JSON a raw line break is white space between tokens; in JSON Lines it would end the line.
    text = _bytes(column)
    for mark in ("\n", "\r"):
        if mark.encode() in text:
            column = pc.replace_substring(column, mark, " ")
    return column


def _bytes(column: Any) -> bytes:
    """All of a string column's bytes in one piece. Looking for a byte there is many times faster than a kernel that
    looks at value after value, the copy included."""
    _, offsets, data = column.buffers()
    if data is None or len(column) == 0:
        return b""
    ends = memoryview(offsets).cast("q" if pa.types.is_large_string(column.type) else "i")
    start = ends[column.offset]
    return bytes(data.slice(start, ends[column.offset + len(column)] - start))


def _quoted(column: Any) -> Any:
    column = column.cast(pa.large_string())
    odd = pc.fill_null(pc.match_substring_regex(column, ESCAPED), False)
    if not pc.any(odd).as_py():
        return _in_quotes(column)
    escaped = [json.dumps(value, ensure_ascii=False) for value in column.filter(odd).to_pylist()]
    return pc.replace_with_mask(_in_quotes(column), odd, pa.array(escaped, pa.large_string()))


def _in_quotes(column: Any, suffix: str = "") -> Any:
    parts = ('"', column, suffix + '"', "")
    return pc.binary_join_element_wise(
        *(pa.scalar(part, column.type) if isinstance(part, str) else part for part in parts)
    )


def _time(column: Any) -> Any:
    """ISO 8601, in UTC with a Z where the column knows its zone."""
    # The instants of a zoned column, printed without a zone: some thirty times faster than printing with one.
    text = column.cast(pa.timestamp(column.type.unit)).cast(pa.string())
    # The space between date and time, counted from the end: years may have more than four digits.
    after = -TIME_LENGTHS[column.type.unit]
    text = pc.binary_replace_slice(text, after - 1, after, "T")
    return _in_quotes(text, "Z" if column.type.tz is not None else "")


def _date(column: Any) -> Any:
    return _in_quotes(column.cast(pa.string()))


def _finite(column: Any) -> Any:
    return pc.if_else(pc.is_finite(column), column.cast(pa.string()), pa.scalar(None, pa.string()))


def _printed(column: Any) -> Any:
    return column.cast(pa.string())


def _one_by_one(column: Any) -> Any:
    """Lists and whatever else is rare enough to be printed value by value."""
    values = column.to_pylist()
    return pa.array([None if value is None else json.dumps(value, ensure_ascii=False, default=str) for value in values])
