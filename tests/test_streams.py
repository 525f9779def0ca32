"""The helpers between source, format and destination: bounded batches, reading ahead, and work that is seen through."""

import asyncio
from collections.abc import AsyncGenerator

import pyarrow as pa
import pytest

from app.streams import Batches, prefetch, rechunk, see_through
from tests.destinations.rows import as_stream, collect


def texts(*sizes: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"text": [chr(97 + index % 26) * size for index, size in enumerate(sizes)]})


async def test_batches_are_cut_to_size_and_nothing_is_lost() -> None:
    batch = texts(*[1000] * 100)
    pieces = await collect(rechunk(as_stream(batch, texts(5), batch), 10_000))
    assert all(piece.nbytes <= 10_000 for piece in pieces)
    assert pa.Table.from_batches(pieces) == pa.Table.from_batches([batch, texts(5), batch])


async def test_large_rows_that_come_together_are_cut_apart() -> None:
    pieces = await collect(rechunk(as_stream(texts(*[10_000] * 10, *[1] * 10_000)), 20_000))
    assert all(piece.nbytes <= 20_000 for piece in pieces)


async def test_a_row_larger_than_a_batch_passes_alone() -> None:
    pieces = await collect(rechunk(as_stream(texts(10, 50_000, 10)), 1000))
    assert [piece.num_rows for piece in pieces] == [1, 1, 1]


async def test_small_batches_pass_as_they_are_and_empty_ones_not_at_all() -> None:
    small = texts(1, 2, 3)
    assert await collect(rechunk(as_stream(small.slice(0, 0), small, small.slice(3)), 1000)) == [small]


async def test_slices_of_a_batch_share_its_memory() -> None:
    batch = texts(*[1000] * 100)
    pieces = await collect(rechunk(as_stream(batch), 10_000))

    def address(piece: pa.RecordBatch) -> int:
        data = piece.column(0).buffers()[2]
        assert data is not None
        return data.address

    assert {address(piece) for piece in pieces} == {address(batch)}


class Items:
    """Numbers, and whether the generator of them is still open."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self.count = count
        self.error = error
        self.made = 0
        self.open = False

    async def __call__(self) -> AsyncGenerator[int, None]:
        self.open = True
        try:
            for number in range(self.count):
                await asyncio.sleep(0)
                self.made += 1
                yield number
            if self.error is not None:
                raise self.error
        finally:
            await asyncio.sleep(0)  # closing takes time, as ending a query does
            self.open = False


def other_tasks() -> int:
    return len(asyncio.all_tasks()) - 1


async def test_prefetched_items_come_in_order() -> None:
    items = Items(100)
    assert await collect(prefetch(items())) == list(range(100))
    assert (items.open, other_tasks()) == (False, 0)


@pytest.mark.parametrize("ahead", [1, 4])
async def test_so_many_items_are_read_ahead_and_no_more(ahead: int) -> None:
    items = Items(100)
    prefetched = prefetch(items(), ahead)
    await anext(prefetched)
    for _ in range(50):
        await asyncio.sleep(0)
    assert items.made == 1 + ahead
    await prefetched.aclose()


async def test_an_error_comes_after_the_items_before_it() -> None:
    items = Items(3, ValueError("broken"))
    seen: list[int] = []

    async def consume() -> None:
        async for item in prefetch(items()):
            seen.append(item)  # noqa: PERF401  what was seen before the error counts

    with pytest.raises(ValueError, match="broken"):
        await consume()
    assert seen == [0, 1, 2]
    assert (items.open, other_tasks()) == (False, 0)


async def test_closing_early_closes_what_is_read() -> None:
    items = Items(100, ValueError("never reached"))
    prefetched = prefetch(items())
    await anext(prefetched)
    await prefetched.aclose()
    assert (items.open, other_tasks()) == (False, 0)


async def test_an_error_that_nobody_waits_for_any_more_is_dropped() -> None:
    items = Items(1, ValueError("too late"))
    prefetched = prefetch(items())
    await anext(prefetched)
    for _ in range(50):
        await asyncio.sleep(0)
    await prefetched.aclose()
    assert (items.open, other_tasks()) == (False, 0)


@pytest.mark.parametrize("times", [1, 2, 5])
async def test_cancelling_the_consumer_closes_what_is_read(times: int) -> None:
    waiting = asyncio.Event()
    closed = False

    async def endless() -> Batches:
        nonlocal closed
        try:
            yield texts(1)
            waiting.set()
            await asyncio.Event().wait()
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            closed = True

    task = asyncio.create_task(collect(rechunk(prefetch(endless()), 100)))
    await waiting.wait()
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.sleep(0)
    assert (closed, other_tasks()) == (True, 0)


async def test_work_is_seen_through_however_often_it_is_cancelled() -> None:
    go_on = asyncio.Event()
    done = False

    async def work() -> None:
        nonlocal done
        await go_on.wait()
        done = True

    task = asyncio.create_task(see_through(work()))
    for _ in range(3):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done


async def test_work_seen_through_gives_its_result_or_error() -> None:
    async def give() -> int:
        return 1

    async def fail() -> int:
        raise ValueError("broken")

    assert await see_through(give()) == 1
    with pytest.raises(ValueError, match="broken"):
        await see_through(fail())


async def test_a_cancellation_is_put_off_only_so_long() -> None:
    async def for_ever() -> None:
        await asyncio.Event().wait()

    task = asyncio.create_task(see_through(for_ever(), limit=0.01))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert other_tasks() == 0
