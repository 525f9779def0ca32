"""Holding on to a run: the work stops as soon as the lease is lost."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from app.clocks import elapsing
from app.errors import LeaseLost
from app.pipeline.lease import Lease

SOON = timedelta(milliseconds=1)


def lease(extend: Callable[[], Awaitable[bool]], ttl: timedelta = timedelta(seconds=30)) -> Lease:
    return Lease(extend, ttl, SOON)


async def test_work_that_ends_gives_its_result() -> None:
    beats = 0
    third_beat = asyncio.Event()

    async def extend() -> bool:
        nonlocal beats
        beats += 1
        if beats == 3:
            third_beat.set()
        return True

    async def work() -> str:
        await third_beat.wait()
        return "done"

    assert await lease(extend).hold(work) == "done"


async def test_a_lost_lease_cancels_the_work() -> None:
    cancelled = asyncio.Event()

    async def extend() -> bool:
        return False

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(LeaseLost):
        await lease(extend).hold(work)
    assert cancelled.is_set()


async def test_one_missed_beat_is_forgiven() -> None:
    beats = 0
    renewed = asyncio.Event()

    async def extend() -> bool:
        nonlocal beats
        beats += 1
        if beats == 1:
            raise OSError("database away")
        renewed.set()
        return True

    async def work() -> str:
        await renewed.wait()
        return "done"

    assert await lease(extend).hold(work) == "done"


async def test_a_lease_that_cannot_be_renewed_stops_the_work_before_it_lapses() -> None:
    async def extend() -> bool:
        raise OSError("database away")

    with pytest.raises(LeaseLost):
        await lease(extend, ttl=timedelta(milliseconds=30)).hold(asyncio.Event().wait)


async def test_a_hanging_database_counts_as_away() -> None:
    async def extend() -> bool:
        await asyncio.Event().wait()
        return True

    with pytest.raises(LeaseLost):
        await lease(extend, ttl=timedelta(milliseconds=30)).hold(asyncio.Event().wait)


async def test_the_fence_refuses_a_lost_lease() -> None:
    async def extend() -> bool:
        return False

    with pytest.raises(LeaseLost):
        await lease(extend).confirm()


async def test_a_fence_that_refuses_inside_the_work_is_a_lost_lease() -> None:
    async def extend() -> bool:
        return False

    held = Lease(extend, timedelta(seconds=30), timedelta(seconds=30))
    with pytest.raises(LeaseLost):
        await held.hold(held.confirm)


async def test_what_others_would_see_is_refused_once_the_lease_may_have_lapsed() -> None:
    async def extend() -> bool:
        return True

    long_ago = elapsing() - 30
    stopped = Lease(extend, timedelta(seconds=40), SOON, since=long_ago)
    with pytest.raises(LeaseLost):
        stopped.check()
    held = lease(extend)
    held.check()


async def test_renewing_allows_it_again_and_a_refusal_forbids_it() -> None:
    answers = iter([True, False])

    async def extend() -> bool:
        return next(answers)

    held = Lease(extend, timedelta(seconds=40), SOON, since=elapsing() - 20)
    await held.confirm()
    held.check()
    with pytest.raises(LeaseLost):
        await held.confirm()
    with pytest.raises(LeaseLost):
        held.check()
