"""The slots of a worker: none dies, none spins, none takes work at the end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast
from uuid import UUID, uuid4

import pytest

from app.pipeline.execute import Executor
from app.runs.claim import Claim
from app.settings import WorkerSettings
from tests.factories import make_claim
from worker import pool as pool_module
from worker.pool import RunPool


def a_claim(backfill_id: UUID | None = None) -> Claim:
    return make_claim(backfill_id=backfill_id)


async def nothing() -> None:
    """Work that is done at once."""


async def for_ever() -> None:
    await asyncio.Event().wait()


@dataclass
class Work:
    """Stands for the executor: gives out what is queued, an error being one to raise."""

    queued: list[Claim | Exception] = field(default_factory=list)
    action: Callable[[], Awaitable[None]] = nothing
    claims: int = 0
    executed: list[Claim] = field(default_factory=list)
    handed_back: list[Claim] = field(default_factory=list)
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def claim(self) -> Claim | None:
        async with self.changed:
            self.claims += 1
            self.changed.notify_all()
        found = self.queued.pop(0) if self.queued else None
        if isinstance(found, Exception):
            raise found
        return found

    async def execute(self, claim: Claim) -> None:
        async with self.changed:
            self.executed.append(claim)
            self.changed.notify_all()
        try:
            await self.action()
        except asyncio.CancelledError:
            await self.hand_back(claim)
            raise

    async def hand_back(self, claim: Claim) -> None:
        self.handed_back.append(claim)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(condition)


@asynccontextmanager
async def serving(
    work: Work, slots: int = 1, poll: str = "600", grace: str = "0.05", backfills: list[UUID] | None = None
) -> AsyncIterator[tuple[RunPool, asyncio.Event]]:
    settings = WorkerSettings(
        _env_file=None, worker_slots=slots, worker_poll_interval=poll, worker_shutdown_grace=grace
    )

    async def after_run(backfill_id: UUID) -> None:
        assert backfills is not None
        backfills.append(backfill_id)

    pool = RunPool(cast(Executor, work), settings, after_run)
    stopping = asyncio.Event()
    serving = asyncio.create_task(pool.serve(stopping))
    yield pool, stopping
    stopping.set()
    async with asyncio.timeout(10):
        await serving


@pytest.mark.parametrize("error", [RuntimeError("a bug"), OSError("database away"), TimeoutError()])
async def test_a_slot_survives_an_error(error: Exception) -> None:
    work = Work([error, a_claim()])
    async with serving(work, poll="0.01"):
        await work.until(lambda: len(work.executed) == 1)


async def test_a_slot_survives_an_error_of_the_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pool_module, "LONGEST_PAUSE", 0.01)

    async def fail() -> None:
        raise RuntimeError("a bug")

    work = Work([a_claim(), a_claim(), a_claim()], action=fail)
    async with serving(work):
        await work.until(lambda: len(work.executed) == 3)


async def test_a_slot_that_keeps_failing_rests_in_between() -> None:
    work = Work([RuntimeError("a bug") for _ in range(100)])
    async with serving(work) as (pool, _):
        for _ in range(20):
            pool.ring()
            await asyncio.sleep(0.01)
        assert work.claims == 1


async def test_an_idle_pool_asks_once_per_slot_and_ring() -> None:
    work = Work()
    async with serving(work, slots=3) as (pool, _):
        await work.until(lambda: work.claims == 3)
        pool.ring()
        await work.until(lambda: work.claims == 6)
        await asyncio.sleep(0.1)
        assert work.claims == 6


async def test_one_ring_wakes_as_many_slots_as_there_are_runs() -> None:
    work = Work(action=for_ever)
    async with serving(work, slots=3) as (pool, _):
        await work.until(lambda: work.claims == 3)
        work.queued += [a_claim(), a_claim(), a_claim()]
        pool.ring()
        await work.until(lambda: len(work.executed) == 3)


async def test_a_busy_pool_takes_no_more_than_it_has_slots() -> None:
    work = Work([a_claim() for _ in range(5)], action=for_ever)
    async with serving(work, slots=2) as (pool, _):
        await work.until(lambda: len(work.executed) == 2)
        pool.ring()
        await asyncio.sleep(0.05)
        assert (len(work.executed), work.claims) == (2, 2)


async def test_runs_that_outlast_the_grace_time_are_handed_back() -> None:
    work = Work([a_claim(), a_claim()], action=for_ever)
    async with serving(work, slots=2):
        await work.until(lambda: len(work.executed) == 2)
    assert len(work.handed_back) == 2


async def test_a_run_claimed_while_stopping_is_handed_back_untouched() -> None:
    work = Work()
    claimed = a_claim()
    async with serving(work, grace="5") as (pool, stopping):
        await work.until(lambda: work.claims == 1)

        async def claim() -> Claim | None:
            stopping.set()
            return claimed

        work.claim = claim  # type: ignore[method-assign]
        pool.ring()
        await stopping.wait()
    assert (work.executed, work.handed_back) == ([], [claimed])


async def test_the_backfill_of_an_ended_run_is_told() -> None:
    backfill_id = uuid4()
    told: list[UUID] = []
    work = Work([a_claim(), a_claim(backfill_id)])
    async with serving(work, backfills=told):
        await work.until(lambda: work.claims == 3)
    assert told == [backfill_id]


async def test_a_pool_that_is_cancelled_leaves_no_slot_behind() -> None:
    work = Work([a_claim()], action=for_ever)
    before = asyncio.all_tasks()
    settings = WorkerSettings(_env_file=None)
    serving = asyncio.create_task(RunPool(cast(Executor, work), settings, lambda _: nothing()).serve(asyncio.Event()))
    await work.until(lambda: len(work.executed) == 1)
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)
    assert len(work.handed_back) == 1
    assert asyncio.all_tasks() == before
