"""The seam towards file formats: an encoder turns batches into the bytes of one file.

Rollover by size, threading and naming are outside the encoder.
"""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import ClassVar, Protocol

import pyarrow as pa

from app.streams import Batches, Chunk, Chunks


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


async def encode_files(
    batches: Batches, fmt: Format, schema: pa.Schema, compression: str | None, max_file_bytes: int | None
) -> Chunks:
    """Encode batches into one file after another; a new one begins once a file has reached ``max_file_bytes``.

    No rows, no files. A file may exceed ``max_file_bytes`` by what one batch encodes to. Encoding runs in a thread, so
    that heartbeats and uploads go on.
    """
    file, encoder, size, pending = 0, None, 0, 0
    async with aclosing(batches):
        async for batch in batches:
            if batch.num_rows == 0:
                continue
            if encoder is None:
                encoder = fmt.open(schema, compression, max_file_bytes)
            data = await asyncio.to_thread(encoder.encode, batch)
            size += len(data)
            pending += batch.num_rows
            if max_file_bytes is not None and size >= max_file_bytes:
                yield Chunk(file, data + await asyncio.to_thread(encoder.finish), pending, last=True)
                file, encoder, size, pending = file + 1, None, 0, 0
            elif data:
                yield Chunk(file, data, pending, last=False)
                pending = 0
    if encoder is not None:
        yield Chunk(file, await asyncio.to_thread(encoder.finish), pending, last=True)
