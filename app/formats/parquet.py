"""Parquet: JSON columns as plain strings, times as ``timestamp[us, UTC]``.

Laid out for those who read it: the rows of a row group are sorted by when they happened, and the file says so; columns
whose values come again have dictionaries; statistics and page indexes let readers pass over what they do not ask for.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, ClassVar, Final, Literal, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from app.formats.base import Encoder, Unreadable, time_column
from app.formats.sink import Sink
from app.streams import is_json

ROW_GROUP_BYTES: Final = 16 * 1024 * 1024
"""Of Arrow memory, gathered before a row group is written: some 40,000 web events. DuckDB and Polars read these as fast
as they read larger ones, and a run stays small with its uploads in flight."""

ROWS_AT_ONCE: Final = 64 * 1024
"""That are read back."""

UNIQUE: Final = frozenset({"uuid"})
"""Columns of text in which no value comes twice: a dictionary of them would be all of them."""

LEVELS: Final[Mapping[str, int]] = {"zstd": 1, "gzip": 3, "brotli": 3}
"""Fast levels of the codecs that have any: an export is written once, within its interval, and often read once."""

Compression = Literal["zstd", "lz4", "snappy", "gzip", "brotli", "none"]


class Parquet:
    name: ClassVar[str] = "Parquet"
    extension: ClassVar[str] = "parquet"
    compressions: ClassVar[Sequence[str]] = ("zstd", "lz4", "snappy", "gzip", "brotli")
    suffixes: ClassVar[Mapping[str, str]] = {"gzip": "gz", "snappy": "sz", "brotli": "br", "zstd": "zst", "lz4": "lz4"}

    def open(self, schema: pa.Schema, compression: str | None, max_bytes: int | None = None) -> Encoder:
        # Half of a small file: what is gathered, encoded and compressed, is far less by the time it is counted.
        row_group_bytes = min(ROW_GROUP_BYTES, max_bytes // 2) if max_bytes is not None else ROW_GROUP_BYTES
        return _Encoder(schema, cast("Compression", compression or "none"), row_group_bytes)

    def values(self, path: Path, compression: str | None, column: str | None) -> Iterator[Sequence[str | None]]:
        try:
            # Mapped: only the pages of the one column are ever read.
            with pq.ParquetFile(path, memory_map=True) as file:
                for batch in file.iter_batches(ROWS_AT_ONCE, columns=[column] if column is not None else []):
                    yield batch.column(0).to_pylist() if column is not None else [None] * batch.num_rows
        except (pa.ArrowException, OSError, KeyError, IndexError) as error:
            raise Unreadable(type(error).__name__) from None


class _Encoder:
    def __init__(self, schema: pa.Schema, compression: Compression, row_group_bytes: int) -> None:
        # Our own marks on fields are nobody else's business.
        self._schema = pa.schema([field.remove_metadata() for field in schema])
        self._time = time_column(schema)
        self._row_group_bytes = row_group_bytes
        self._sink = Sink()
        self._writer = pq.ParquetWriter(
            cast("IO[bytes]", self._sink),
            self._schema,
            compression=compression,
            compression_level=LEVELS.get(compression),
            use_dictionary=cast("Any", [field.name for field in schema if _comes_again(field)]),
            # The least and the greatest of JSON documents tell nobody anything.
            write_statistics=[field.name for field in schema if not is_json(field)],
            write_page_index=True,
            sorting_columns=[pq.SortingColumn(schema.names.index(self._time))] if self._time is not None else None,
        )
        self._gathered: list[pa.RecordBatch] = []
        self._gathered_bytes = 0

    def encode(self, batch: pa.RecordBatch) -> bytes:
        self._gathered.append(pa.RecordBatch.from_arrays(batch.columns, schema=self._schema))
        self._gathered_bytes += batch.nbytes
        if self._gathered_bytes < self._row_group_bytes:
            return b""
        self._write_row_group()
        return self._sink.take()

    def finish(self) -> bytes:
        if self._gathered:
            self._write_row_group()
        self._writer.close()
        return self._sink.take()

    def _write_row_group(self) -> None:
        gathered, self._gathered, self._gathered_bytes = self._gathered, [], 0
        order = _order(gathered, self._time)
        if order is None:
            table = pa.Table.from_batches(gathered, self._schema)
        else:
            # Column by column, each let go of once it is sorted: a row group is never in memory twice.
            columns = [[batch.column(index) for batch in gathered] for index in range(len(self._schema))]
            gathered.clear()
            table = pa.Table.from_arrays([_sorted(column, order) for column in columns], schema=self._schema)
        self._writer.write_table(table, row_group_size=table.num_rows)


def _comes_again(field: "pa.Field[Any]") -> bool:
    text = pa.types.is_string(field.type) or pa.types.is_large_string(field.type)
    return text and not is_json(field) and field.name not in UNIQUE


def _order(batches: Sequence[pa.RecordBatch], column: str | None) -> Any:
    """In which order the rows are sorted by that column; those that share a value stay in theirs. None: they are."""
    if column is None:
        return None
    values = pa.concat_arrays([batch.column(column) for batch in batches])
    following: Any = pc.greater_equal(values.slice(1), values.slice(0, max(len(values) - 1, 0)))
    if values.null_count == 0 and pc.all(following).as_py():
        return None
    return pc.sort_indices(values)


def _sorted(pieces: "list[pa.Array[Any]]", order: Any) -> "pa.Array[Any]":
    """Empties ``pieces``."""
    column = pa.concat_arrays(pieces)
    pieces.clear()
    return column.take(order)
