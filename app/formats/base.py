"""The seam towards file formats: an encoder turns batches into the bytes of one file.

Rollover by size, threading and naming are outside the encoder.
"""

import asyncio
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from app.streams import Batches, Chunk, Chunks, FileEnd

TIMESTAMPS: Final = ("timestamp", "start_timestamp")
"""When events happened, and when sessions began. The first of these columns that a file has is the one whose least and
greatest values are noted of it; persons have neither."""


class Encoder(Protocol):
    """Writes one file. Called from one thread at a time, never on the event loop."""

    def encode(self, batch: pa.RecordBatch) -> bytes:
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


async def encode_files(
    batches: Batches, fmt: Format, schema: pa.Schema, compression: str | None, max_file_bytes: int | None
) -> Chunks:
    """Encode batches into one file after another; a new one begins once a file has reached ``max_file_bytes``.

    No rows, no files. A file may exceed ``max_file_bytes`` by what one batch encodes to. Encoding runs in a thread, so
    that heartbeats and uploads go on.
    """
    file, writing, pending = 0, None, 0
    async with aclosing(batches):
        async for batch in batches:
            if batch.num_rows == 0:
                continue
            if writing is None:
                writing = _File(fmt.open(schema, compression, max_file_bytes))
            data = await asyncio.to_thread(writing.encode, batch)
            pending += batch.num_rows
            if max_file_bytes is not None and writing.size >= max_file_bytes:
                rest = await asyncio.to_thread(writing.finish)
                yield Chunk(file, data + rest, pending, writing.end)
                file, writing, pending = file + 1, None, 0
            elif data:
                yield Chunk(file, data, pending)
                pending = 0
    if writing is not None:
        rest = await asyncio.to_thread(writing.finish)
        yield Chunk(file, rest, pending, writing.end)


class _File:
    """An encoder, and what is noted of its file meanwhile."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._digest = hashlib.sha256()
        self._times: list[datetime] = []
        self.size = 0

    def encode(self, batch: pa.RecordBatch) -> bytes:
        if (time := _time_column(batch.schema)) is not None:
            column = batch.column(time)
            found = (_moment(pc.min(column)), _moment(pc.max(column)))
            self._times = _bounds([*self._times, *(time for time in found if time is not None)])
        return self._noted(self._encoder.encode(batch))

    def finish(self) -> bytes:
        return self._noted(self._encoder.finish())

    @property
    def end(self) -> FileEnd:
        least, greatest = self._times or (None, None)
        return FileEnd(self._digest.hexdigest(), least, greatest)

    def _noted(self, data: bytes) -> bytes:
        self._digest.update(data)
        self.size += len(data)
        return data


def _time_column(schema: pa.Schema) -> str | None:
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
