"""JSON Lines: one object per line, JSON columns nested, times as ISO 8601 text.

A batch is encoded column by column with Arrow's kernels: each column becomes JSON text, and one kernel joins them into
lines. Only strings that need escaping are touched one by one.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Final, TypeAlias

import brotli
import pyarrow as pa
import pyarrow.compute as pc
from isal import isal_zlib

from app.formats.base import Encoder
from app.formats.jsonl_reading import read_values
from app.streams import Data, is_json

GZIP_LEVEL: Final = 1
"""Of ISA-L, which on web events is as small as zlib's level 3, in a fifth of the time."""
BROTLI_QUALITY: Final = 3
"""Measured on web events: the level after which files get smaller by a tenth and time doubles. The default
takes ten times as long."""

ESCAPED: Final = r'["\\\x00-\x1f]'
"""What JSON does not allow in a string as it is."""
FIRST_PRINTABLE: Final = 0x20

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

    def encode(self, batch: pa.RecordBatch) -> Data:
        return self._compress(encode_lines(batch, self._schema))

    def finish(self) -> bytes:
        return self._finish()


Compressor: TypeAlias = tuple[Callable[[memoryview], Data], Callable[[], bytes]]
"""Streaming: what compresses the next piece, and what ends the stream."""


def _plain() -> Compressor:
    return memoryview, bytes


def _gzip() -> Compressor:
    stream = isal_zlib.compressobj(GZIP_LEVEL, wbits=16 + isal_zlib.MAX_WBITS)
    return stream.compress, stream.flush


def _brotli() -> Compressor:
    stream = brotli.Compressor(quality=BROTLI_QUALITY)
    return stream.process, stream.finish


_COMPRESSORS: Final[Mapping[str | None, Callable[[], Compressor]]] = {None: _plain, "gzip": _gzip, "brotli": _brotli}


def encode_lines(batch: pa.RecordBatch, schema: pa.Schema) -> memoryview:
    """A batch as UTF-8 lines, each ended by a newline."""
    pieces: list[Any] = []
    alike = ""
    """What all lines have in common, since the last value that they do not."""
    for index, field in enumerate(schema):
        text = _as_json(batch.column(index), field)
        alike += f"{',' if index else '{'}{json.dumps(field.name, ensure_ascii=False)}:{text.before}"
        if text.values is not None:
            pieces += [_scalar(alike), text.values]
            alike = text.after
    alike += "}\n"
    if not pieces:
        return memoryview(alike.encode() * batch.num_rows)
    # Large offsets: the lines of one batch may be longer than the 2 GiB that 32-bit offsets reach.
    return _contents(pc.binary_join_element_wise(*pieces, _scalar(alike), _scalar("")))


def _scalar(text: str) -> Any:
    return pa.scalar(text, pa.large_string())


def _contents(lines: Any) -> memoryview:
    """The values of a string array without nulls, which lie one after another in memory: no copy."""
    if len(lines) == 0:
        return memoryview(b"")
    _, offsets, data = lines.buffers()
    ends = memoryview(offsets).cast("q")
    return memoryview(data)[ends[lines.offset] : ends[lines.offset + len(lines)]]


@dataclass(frozen=True, slots=True)
class _Text:
    """A column as JSON text: ``before`` and ``after`` go around each of the values, none of which is null. A column
    that is the same in every row has no values, and is all ``before``."""

    values: Any
    before: str = ""
    after: str = ""


def _as_json(column: Any, field: "pa.Field[Any]") -> _Text:
    if column.null_count == len(column):
        return _Text(None, "null")
    text = _encoder_of(field)(column)
    if text.values is None:
        return text
    values = text.values.cast(pa.large_string())
    if values.null_count == 0:
        return replace(text, values=values)
    # A null has no quotes.
    return _Text(pc.fill_null(_around(text.before, values, text.after), "null"))


def _encoder_of(field: "pa.Field[Any]") -> Callable[[Any], _Text]:
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


def _json_text(column: Any) -> _Text:
    # In valid JSON a raw line break is white space between tokens; in JSON Lines it would end the line.
    text = _bytes(column)
    for mark in ("\n", "\r"):
        if mark.encode() in text:
            column = pc.replace_substring(column, mark, " ")
    return _Text(column)


def _bytes(column: Any) -> bytes:
    """All of a string column's bytes in one piece. Looking for a byte there is many times faster than a kernel that
    looks at value after value, the copy included."""
    _, offsets, data = column.buffers()
    if data is None or len(column) == 0:
        return b""
    ends = memoryview(offsets).cast("q" if pa.types.is_large_string(column.type) else "i")
    start = ends[column.offset]
    return bytes(data.slice(start, ends[column.offset + len(column)] - start))


def _quoted(column: Any) -> _Text:
    text = _bytes(column)
    if not text and not column.null_count:
        return _Text(None, '""')
    if not _needs_escapes(text):
        return _Text(column, '"', '"')
    column = column.cast(pa.large_string())
    odd = pc.fill_null(pc.match_substring_regex(column, ESCAPED), False)
    escaped = [json.dumps(value, ensure_ascii=False)[1:-1] for value in column.filter(odd).to_pylist()]
    return _Text(pc.replace_with_mask(column, odd, pa.array(escaped, pa.large_string())), '"', '"')


def _needs_escapes(text: bytes) -> bool:
    """Whether anything is in there that JSON does not allow in a string as it is."""
    if not text:
        return False
    least = pc.min(pa.Array.from_buffers(pa.uint8(), len(text), [None, pa.py_buffer(text)])).as_py()
    return least < FIRST_PRINTABLE or b'"' in text or b"\\" in text


def _around(before: str, values: Any, after: str) -> Any:
    if not before and not after:
        return values
    parts = (pa.scalar(before, values.type), values, pa.scalar(after, values.type), pa.scalar("", values.type))
    return pc.binary_join_element_wise(*parts)


def _time(column: Any) -> _Text:
    """ISO 8601, in UTC with a Z where the column knows its zone."""
    # The instants of a zoned column, printed without a zone: some thirty times faster than printing with one.
    text = column.cast(pa.timestamp(column.type.unit)).cast(pa.string())
    # The space between date and time, counted from the end: years may have more than four digits.
    after = -TIME_LENGTHS[column.type.unit]
    text = pc.binary_replace_slice(text, after - 1, after, "T")
    return _Text(text, '"', 'Z"' if column.type.tz is not None else '"')


def _date(column: Any) -> _Text:
    return _Text(column.cast(pa.string()), '"', '"')


def _finite(column: Any) -> _Text:
    return _Text(pc.if_else(pc.is_finite(column), column.cast(pa.string()), pa.scalar(None, pa.string())))


def _printed(column: Any) -> _Text:
    return _Text(column.cast(pa.string()))


def _one_by_one(column: Any) -> _Text:
    """Lists and whatever else is rare enough to be printed value by value."""
    values = column.to_pylist()
    texts = [None if value is None else json.dumps(value, ensure_ascii=False, default=str) for value in values]
    return _Text(pa.array(texts, pa.string()))
