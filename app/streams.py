"""What flows between the three plug points, and the helpers that shape the flow.

A source yields ``Batches``; a format turns them into ``Chunks`` of files; a destination pulls either. Pulling is the
backpressure: nothing is read before the far end asks for it.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, Never, TypeAlias, TypeVar

import pyarrow as pa

JSON_FIELD = {b"batch_exports.json": b"1"}
"""Field metadata that marks a string column as JSON text."""

T = TypeVar("T")

Batches: TypeAlias = AsyncGenerator[pa.RecordBatch, None]
"""Generators, so that whoever stops early can close them: closing reaches back to the source and ends its query."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of one encoded file. Files come one after another, never interleaved.

    ``file`` counts from 0; ``rows`` is how many rows this piece completes; ``last`` is true on a file's final piece.
    """

    file: int
    data: bytes
    rows: int
    last: bool


Chunks: TypeAlias = AsyncGenerator[Chunk, None]
Encode: TypeAlias = Callable[[Batches], Chunks]


def json_field(name: str) -> "pa.Field[Any]":
    """A string column that holds JSON text, already valid, to be passed on as it is."""
    return pa.field(name, pa.string(), metadata=JSON_FIELD)


def is_json(field: "pa.Field[Any]") -> bool:
    return JSON_FIELD.keys() <= (field.metadata or {}).keys()


async def rechunk(batches: Batches, max_bytes: int) -> Batches:
    """Cut batches larger than ``max_bytes`` into slices of about that size; slices share memory with their batch.

    A single row may be larger than ``max_bytes``; it passes alone. Empty batches are dropped.
    """
    async with aclosing(batches):
        async for batch in batches:
            if batch.num_rows == 0:
                continue
            rows = max(1, int(batch.num_rows * max_bytes / max(batch.nbytes, 1)))
            for start in range(0, batch.num_rows, rows):
                yield batch.slice(start, rows)


async def prefetch(items: AsyncGenerator[T, None], ahead: int = 1) -> AsyncGenerator[T, None]:
    """Read up to ``ahead`` items while the consumer is busy with the one before.

    An error of the producer is raised at the consumer, after the items before it. Closing the result closes ``items``.
    """
    queue: asyncio.Queue[Callable[[], T]] = asyncio.Queue(maxsize=ahead)

    async def produce() -> None:
        try:
            async for item in items:
                await queue.put(partial(_give, item))
            await queue.put(partial(_fail, StopAsyncIteration()))
        except Exception as error:
            await queue.put(partial(_fail, error))

    async with aclosing(items):
        producer = asyncio.create_task(produce())
        try:
            while True:
                take = await queue.get()
                try:
                    item = take()
                except StopAsyncIteration:
                    return
                yield item
        finally:
            producer.cancel()
            await asyncio.gather(producer, return_exceptions=True)


def _give(item: T) -> T:
    return item


def _fail(error: Exception) -> Never:
    raise error
