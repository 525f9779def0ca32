"""A window has one worker at a time, whichever of its runs that works on."""

import asyncio

import pytest
from sqlalchemy.exc import IntegrityError

from app.runs.claims import ClaimRepository
from app.runs.repository import RunRepository
from app.runtime import Runtime
from app.scheduling.intervals import Window
from tests.db.waiting import blocked
from tests.factories import utc
from tests.runs.claiming import TTL, add_rerun, add_run, claim, claimed, claims, lapse, row


async def test_a_window_is_one_workers_at_a_time(runtime: Runtime) -> None:
    taken = await claimed(runtime)
    rerun = await add_rerun(runtime, taken.run_id)
    assert await claim(runtime, "worker-2") is None
    async with claims(runtime) as repository:
        assert await repository.complete(taken, 0, 0)
    second = await claim(runtime, "worker-2")
    assert second is not None
    assert second.run_id == rerun


async def test_a_window_without_a_start_is_one_workers_at_a_time_too(runtime: Runtime) -> None:
    await add_run(runtime, Window(None, utc(2026, 1, 1)))
    taken = await claim(runtime)
    assert taken is not None
    await add_rerun(runtime, taken.run_id)
    assert await claim(runtime, "worker-2") is None


async def test_of_two_claims_of_one_window_at_once_the_second_is_refused(runtime: Runtime) -> None:
    [run_id] = await add_run(runtime)
    rerun = await add_rerun(runtime, run_id)
    async with runtime.sessions() as first, runtime.sessions() as second:
        one = await ClaimRepository(first).claim("worker-1", TTL)
        other = asyncio.create_task(ClaimRepository(second).claim("worker-2", TTL))
        await blocked(runtime)
        await first.commit()
        with pytest.raises(IntegrityError):
            await other
    assert one is not None
    assert one.run_id == run_id
    assert (await row(runtime, rerun)).epoch == 0


async def test_a_lost_worker_keeps_a_window_no_longer_than_its_lease(runtime: Runtime) -> None:
    taken = await claimed(runtime)
    await add_rerun(runtime, taken.run_id)
    await lapse(runtime, taken)
    async with claims(runtime) as repository:
        assert await repository.reap() == [taken.run_id]
    assert await claim(runtime, "worker-2") is not None


async def test_a_cancelled_runs_worker_may_clean_up_before_the_window_is_free(runtime: Runtime) -> None:
    taken = await claimed(runtime)
    async with runtime.sessions.begin() as session:
        assert await RunRepository(session).cancel(taken.run_id, utc(2026, 6, 1))
    await add_rerun(runtime, taken.run_id)
    async with claims(runtime) as repository:
        assert not await repository.extend(taken)
        assert await repository.keep(taken)
    assert await claim(runtime, "worker-2") is None
    async with claims(runtime) as repository:
        await repository.release(taken)
        assert not await repository.keep(taken)
    assert await claim(runtime, "worker-2") is not None


async def test_a_cancelled_run_whose_worker_is_lost_frees_its_window_with_the_lease(runtime: Runtime) -> None:
    taken = await claimed(runtime)
    async with runtime.sessions.begin() as session:
        await RunRepository(session).cancel(taken.run_id, utc(2026, 6, 1))
    await add_rerun(runtime, taken.run_id)
    await lapse(runtime, taken)
    async with claims(runtime) as repository:
        # Nothing to be taken up again, so it is not named.
        assert await repository.reap() == []
    assert await claim(runtime, "worker-2") is not None


async def test_a_run_that_goes_on_is_not_released(runtime: Runtime) -> None:
    taken = await claimed(runtime)
    async with claims(runtime) as repository:
        await repository.release(taken)
        assert await repository.extend(taken)
