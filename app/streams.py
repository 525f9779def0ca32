"""What flows between the three plug points, and the helpers that shape the flow.

A source yields ``Batches``; a format turns them into ``Chunks`` of files; a destination pulls either. Pulling is the
backpressure: nothing is read before the far end asks for it.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

import pyarrow as pa

JSON_FIELD = {b"batch_exports.json": b"1"}
"""Field metadata that marks a string column as JSON text."""

T = TypeVar("T")

Batches: TypeAlias = AsyncIterator[pa.RecordBatch]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of one encoded file. Files come one after another, never interleaved.

    ``file`` counts from 0; ``rows`` is how many rows this piece completes; ``last`` is true on a file's final piece.
    """

    file: int
    data: bytes
    rows: int
    last: bool


Chunks: TypeAlias = AsyncIterator[Chunk]
Encode: TypeAlias = Callable[[Batches], Chunks]


def json_field(name: str) -> "pa.Field[Any]":
    """A string column that holds JSON text, already valid, to be passed on as it is."""
    return pa.field(name, pa.string(), metadata=JSON_FIELD)


def is_json(field: "pa.Field[Any]") -> bool:
    return JSON_FIELD.keys() <= (field.metadata or {}).keys()


@dataclass(slots=True)
class Meter:
    """Counts what passes: rows, and bytes of Arrow memory."""

    rows: int = 0
    bytes: int = 0

    async def measure(self, batches: Batches) -> Batches:
        async for batch in batches:
            self.rows += batch.num_rows
            self.bytes += batch.nbytes
            yield batch


async def rechunk(batches: Batches, max_bytes: int) -> Batches:
    """Cut batches larger than ``max_bytes`` into slices of about that size; slices share memory with their batch.

    A single row may be larger than ``max_bytes``; it passes alone. Empty batches are dropped.
    """
    async for batch in batches:
        if batch.num_rows == 0:
            continue
        rows = max(1, int(batch.num_rows * max_bytes / max(batch.nbytes, 1)))
        for start in range(0, batch.num_rows, rows):
            yield batch.slice(start, rows)


async def prefetch(items: AsyncIterator[T], ahead: int = 1) -> AsyncIterator[T]:
    """Read up to ``ahead`` items while the consumer is busy with the one before.

    An error of the producer is raised at the consumer, after the items before it. Closing the result closes ``items``.
    """
    queue: asyncio.Queue[tuple[bool, T | BaseException | None]] = asyncio.Queue(maxsize=ahead)

    async def produce() -> None:
        try:
            async for item in items:
                await queue.put((True, item))
        except Exception as error:
            await queue.put((False, error))
        else:
            await queue.put((False, None))

    producer = asyncio.create_task(produce())
    try:
        while True:
            more, item = await queue.get()
            if more:
                yield item  # type: ignore[misc]
            elif isinstance(item, BaseException):
                raise item
            else:
                return
    finally:
        producer.cancel()
        await asyncio.gather(producer, return_exceptions=True)
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()


async def peek(items: AsyncIterator[T]) -> tuple[T | None, AsyncIterator[T]]:
    """The first item, or None when there is none, and an iterator that still yields all of them."""
    first = await anext(items, None)

    async def all_items() -> AsyncIterator[T]:
        if first is not None:
            yield first
            async with aclosing(items) as rest:  # type: ignore[type-var]
                async for item in rest:
                    yield item

    return first, all_items()
