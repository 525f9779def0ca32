"""Parquet: JSON columns as plain strings, times as ``timestamp[us, UTC]``."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, ClassVar, Final, Literal, cast

import pyarrow as pa
import pyarrow.parquet as pq

from app.formats.base import Encoder, Unreadable
from app.formats.sink import Sink

ROW_GROUP_BYTES: Final = 32 * 1024 * 1024
"""Of Arrow memory, gathered before a row group is written: large enough for readers to skip and scan well, small enough
that two runs in one process stay within its memory with their uploads in flight."""

ROWS_AT_ONCE: Final = 64 * 1024
"""That are read back."""

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
        self._row_group_bytes = row_group_bytes
        self._sink = Sink()
        self._writer = pq.ParquetWriter(
            cast("IO[bytes]", self._sink),
            self._schema,
            compression=compression,
            compression_level=LEVELS.get(compression),
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
        table = pa.Table.from_batches(self._gathered, self._schema)
        self._writer.write_table(table, row_group_size=table.num_rows)
        self._gathered, self._gathered_bytes = [], 0
