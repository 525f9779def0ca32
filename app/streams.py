"""What flows between the three plug points, and the helpers that shape the flow.

A source yields ``Batches``; a format turns them into ``Chunks`` of files; a destination pulls either. Pulling is the
backpressure: nothing is read before the far end asks for it.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeAlias, TypeVar

import pyarrow as pa

JSON_FIELD = {b"batch_exports.json": b"1"}
"""Field metadata that marks a string column as JSON text."""

T = TypeVar("T")

Batches: TypeAlias = AsyncGenerator[pa.RecordBatch, None]
"""Generators, so that whoever stops early can close them: closing reaches back to the source and ends its query."""


@dataclass(frozen=True, slots=True)
class FileEnd:
    """What is known of a file once it is whole."""

    sha256: str
    """Of its bytes, in hexadecimal digits."""
    min_timestamp: datetime | None
    max_timestamp: datetime | None
    """The least and the greatest ``timestamp`` of its rows; None where rows have none."""


Data: TypeAlias = bytes | memoryview
"""Bytes, perhaps where an encoder's library has them in memory: a copy of all that is exported costs much."""

Partition: TypeAlias = tuple[tuple[str, str], ...]
"""What rows have in common by which they are partitioned, under the names that it has in key templates; an empty text
where there is nothing: ``(("event", "$pageview"), ("date", "2026-11-28"))``."""
Cut: TypeAlias = Callable[[pa.RecordBatch], Iterable[tuple[Partition, pa.RecordBatch]]]
"""A batch in pieces of one partition each, in the order of its rows."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A piece of one encoded file. Files come one after another, never interleaved.

    ``file`` counts from 0; ``rows`` is how many rows this piece completes; a file's final piece alone has ``end``. All
    rows of a file are of one ``partition``, and files of one partition come together.
    """

    file: int
    data: Data
    rows: int
    end: FileEnd | None = None
    partition: Partition = ()


Chunks: TypeAlias = AsyncGenerator[Chunk, None]
Encode: TypeAlias = Callable[[Batches], Chunks]


def json_field(name: str) -> "pa.Field[Any]":
    """A string column that holds JSON text, already valid, to be passed on as it is."""
    return pa.field(name, pa.string(), metadata=JSON_FIELD)


def is_json(field: "pa.Field[Any]") -> bool:
    return JSON_FIELD.keys() <= (field.metadata or {}).keys()


async def rechunk(batches: Batches, max_bytes: int) -> Batches:
    """Cut batches into slices of at most ``max_bytes``; slices share memory with their batch.

    A single row may be larger than ``max_bytes``; it passes alone. Empty batches are dropped.
    """
    async with aclosing(batches):
        async for batch in batches:
            for piece in _cut(batch, max_bytes):
                yield piece


def _cut(batch: pa.RecordBatch, max_bytes: int) -> Iterator[pa.RecordBatch]:
    # By halves, not by the average row: large rows often come together.
    if batch.num_rows > 1 and batch.nbytes > max_bytes:
        half = batch.num_rows // 2
        yield from _cut(batch.slice(0, half), max_bytes)
        yield from _cut(batch.slice(half), max_bytes)
    elif batch.num_rows:
        yield batch


@dataclass(frozen=True, slots=True)
class _End:
    error: Exception | None


async def prefetch(
    items: AsyncGenerator[T, None], limit: int = 1, weigh: Callable[[T], int] = lambda item: 1
) -> AsyncGenerator[T, None]:
    """Read on while the consumer is busy, until what waits for it weighs ``limit`` or more.

    An error of the producer is raised at the consumer, after the items before it. Closing the result closes ``items``.
    """
    ready: asyncio.Queue[T | _End] = asyncio.Queue()
    waiting = 0
    taken = asyncio.Event()

    async def read() -> None:
        nonlocal waiting
        end = _End(None)
        try:
            async for item in items:
                waiting += weigh(item)
                ready.put_nowait(item)
                while waiting >= limit:
                    taken.clear()
                    await taken.wait()
        except Exception as error:
            end = _End(error)
        ready.put_nowait(end)

    async with aclosing(items):
        reading = asyncio.create_task(read())
        try:
            while not isinstance(item := await ready.get(), _End):
                waiting -= weigh(item)
                taken.set()
                yield item
            if item.error is not None:
                raise item.error
        finally:
            # Just once: cancelling again would break off how ``items`` cleans up.
            reading.cancel()
            await see_through(_settled(reading))


async def _settled(task: "asyncio.Task[Any]") -> None:
    await asyncio.gather(task, return_exceptions=True)


async def see_through(work: Coroutine[Any, Any, T], limit: float | None = None) -> T:
    """Do ``work`` to its end even when cancelled meanwhile, once or many times; cancellation is raised afterwards.

    For work that must not be left half-done. ``limit``: how many seconds a cancellation may be put off; the work is
    cancelled then.
    """
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    timer: asyncio.TimerHandle | None = None
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError as error:
            cancelled = error
            if limit is not None and timer is None:
                timer = asyncio.get_running_loop().call_later(limit, task.cancel)
    if timer is not None:
        timer.cancel()
    if cancelled is not None:
        if not task.cancelled():
            task.exception()  # seen, and outweighed
        raise cancelled
    return task.result()
