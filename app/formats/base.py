"""The seam towards file formats: an encoder turns batches into the bytes of one file.

Rollover by size, threading and naming are outside the encoder.
"""

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, suppress
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from app.streams import Batches, Chunk, Chunks, Cut, Data, FileEnd, Partition

TIMESTAMPS: Final = ("timestamp", "start_timestamp")
"""When events happened, and when sessions began. The first of these columns that a file has is the one whose least and
greatest values are noted of it; persons have neither."""


class Encoder(Protocol):
    """Writes one file. Called from one thread at a time, never on the event loop."""

    def encode(self, batch: pa.RecordBatch) -> Data:
        """Bytes that are ready; may be empty while the encoder gathers."""
        ...

    def finish(self) -> bytes:
        """What is left, with the file's footer. The encoder is of no use afterwards."""
        ...


class Format(Protocol):
    """A file format, as the contract names it."""

    name: ClassVar[str]
    extension: ClassVar[str]
    compressions: ClassVar[Sequence[str]]
    suffixes: ClassVar[Mapping[str, str]]
    """Codec to the suffix behind the extension, for codecs that are named in the file name."""

    def open(self, schema: pa.Schema, compression: str | None, max_bytes: int | None = None) -> Encoder:
        """A new file. One that is to end soon after ``max_bytes`` must not gather more than that before it writes."""
        ...

    def values(self, path: Path, compression: str | None, column: str | None) -> Iterator[Sequence[str | None]]:
        """A column of text, read back from a file on disk, row after row, some thousands at a time.

        No column: None for every row.

        :raises Unreadable: for a file that is not what this format writes.
        """
        ...


class Unreadable(Exception):
    """A file is damaged, cut off, or of another format. What its reader says of it is not told: it may hold rows."""


def in_one_piece(batch: pa.RecordBatch) -> Iterable[tuple[Partition, pa.RecordBatch]]:
    """Rows that are not partitioned. See :data:`app.streams.Cut`."""
    return [((), batch)]


async def encode_files(
    batches: Batches,
    fmt: Format,
    schema: pa.Schema,
    compression: str | None,
    max_file_bytes: int | None,
    cut: Cut = in_one_piece,
) -> Chunks:
    """Encode batches into one file after another; a new one begins once a file has reached ``max_file_bytes``, and with
    every partition.

    No rows, no files. A file may exceed ``max_file_bytes`` by what one batch encodes to. Encoding runs in a thread, so
    that heartbeats and uploads go on.
    """
    files = _Files(fmt, schema, compression, max_file_bytes, cut)
    loop = asyncio.get_running_loop()
    # One thread for all of it: allocators keep what a thread has freed for that thread, so several would hold as many
    # times the memory.
    thread = ThreadPoolExecutor(1, thread_name_prefix="encoder")
    try:
        async with aclosing(batches):
            async for batch in batches:
                for chunk in await loop.run_in_executor(thread, files.encode, batch):
                    yield chunk
        for chunk in await loop.run_in_executor(thread, files.finish):
            yield chunk
    finally:
        thread.shutdown(wait=False)


class _Files:
    """Files, one after another. All that is to be done with a batch is done in one go, so that the thread that does it
    waits for the event loop once."""

    def __init__(
        self, fmt: Format, schema: pa.Schema, compression: str | None, max_file_bytes: int | None, cut: Cut
    ) -> None:
        self._open = partial(fmt.open, schema, compression, max_file_bytes)
        self._max_bytes = max_file_bytes
        self._cut = cut
        self._number = 0
        self._writing: _File | None = None

    def encode(self, batch: pa.RecordBatch) -> Sequence[Chunk]:
        """What is ready."""
        if batch.num_rows == 0:
            return ()
        chunks: list[Chunk] = []
        for partition, rows in self._cut(batch):
            if self._writing is not None and self._writing.partition != partition:
                chunks += self.finish()
            if self._writing is None:
                self._writing = _File(self._number, partition, self._open())
            data = self._writing.encode(rows)
            if self._max_bytes is not None and self._writing.size >= self._max_bytes:
                chunks += self.finish(data)
            elif data:
                chunks.append(self._writing.chunk(data))
        return chunks

    def finish(self, data: Data = b"") -> Sequence[Chunk]:
        """The end of the file that is being written, if there is one; ``data`` is what has been encoded of it."""
        if self._writing is None:
            return ()
        chunk, self._writing = self._writing.finish(data), None
        self._number += 1
        return (chunk,)


class _File:
    """An encoder, and what is noted of its file meanwhile."""

    def __init__(self, number: int, partition: Partition, encoder: Encoder) -> None:
        self.partition = partition
        self._number = number
        self._encoder = encoder
        self._pending = 0
        """Rows that no chunk has completed yet."""
        self._digest = hashlib.sha256()
        self._times: list[datetime] = []
        self.size = 0

    def encode(self, batch: pa.RecordBatch) -> Data:
        if (time := time_column(batch.schema)) is not None:
            column = batch.column(time)
            found = (_moment(pc.min(column)), _moment(pc.max(column)))
            self._times = _bounds([*self._times, *(time for time in found if time is not None)])
        self._pending += batch.num_rows
        return self._noted(self._encoder.encode(batch))

    def chunk(self, data: Data) -> Chunk:
        rows, self._pending = self._pending, 0
        return Chunk(self._number, data, rows, partition=self.partition)

    def finish(self, data: Data = b"") -> Chunk:
        """The final chunk; ``data`` is what has been encoded of it already."""
        chunk = self.chunk(b"".join((data, self._noted(self._encoder.finish()))))
        least, greatest = self._times or (None, None)
        return replace(chunk, end=FileEnd(self._digest.hexdigest(), least, greatest))

    def _noted(self, data: Data) -> Data:
        self._digest.update(data)
        self.size += len(data)
        return data


def time_column(schema: pa.Schema) -> str | None:
    """A query's own columns may be called so, and be something else."""
    for name in TIMESTAMPS:
        if name in schema.names and getattr(schema.field(name).type, "tz", None) is not None:
            return name
    return None


def _bounds(times: Sequence[datetime]) -> list[datetime]:
    return [min(times), max(times)] if times else []


def _moment(value: "pa.Scalar[Any]") -> datetime | None:
    """None also for years that a datetime does not reach: a database's times may be later than the year 9999."""
    with suppress(OverflowError, ValueError):
        moment: datetime | None = value.as_py()
        return moment
    return None
