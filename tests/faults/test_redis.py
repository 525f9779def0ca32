"""Redis is only a hint: it may be restarted, emptied or silent at any moment, and nothing is lost or doubled."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from app.models import RunStatus
from app.queue import open_redis
from app.settings import Settings
from tests.faults.cases import add_case, add_runs
from tests.faults.stacks import Own, open_own
from tests.worker.processes import DEADLINE, Worker, ended

WINDOWS = 6


@pytest.fixture
async def own(tmp_path: Path, settings: Settings) -> AsyncIterator[Own]:
    async with open_own(tmp_path, settings) as opened:
        yield opened


async def crash(own: Own) -> None:
    """With what it had in memory only."""
    await own.restart("valkey", signal.SIGKILL)


async def empty(own: Own) -> None:
    redis = open_redis(own.runtime.settings)
    await redis.flushall()
    await redis.aclose()


@pytest.mark.parametrize("trouble", [crash, empty])
async def test_nothing_is_lost_or_doubled_while_redis_loses_everything(
    own: Own, trouble: Callable[[Own], Awaitable[None]]
) -> None:
    case = await add_case(own.oracle, own.stack.s3, "many files", windows=WINDOWS, due=0)
    # The tick is far away: what finds the runs is hints, where they arrive, and else the pull from Postgres.
    async with (
        own.workers.start(tick_interval="600") as one,
        own.workers.start(tick_interval="600") as other,
        # A worker that finds no Redis when it starts says so and ends; these have started.
        both_started(one, other),
        again_and_again(own, trouble),
    ):
        for number in range(WINDOWS):
            [run_id] = await add_runs(own.runtime, case, number)
            await own.runtime.queue.wake(run_id)
        for run_id in case.runs:
            run = await ended(own.runtime, run_id, 2 * DEADLINE)
            assert (run.status, run.attempt) == (RunStatus.COMPLETED, 0)
        assert (one.process.returncode, other.process.returncode) == (None, None)
    await own.oracle.judge(case.export_id, case.prefix, windows=WINDOWS)


async def test_without_redis_a_tick_still_makes_the_runs(own: Own) -> None:
    await own.service("valkey").stop_stranger()
    redis = own.service("valkey")
    await redis.start()
    async with own.workers.start() as worker:
        await worker.says("listening for hints", times=2)
        await redis.stop()
        await worker.says("not listening", times=2)
        case = await add_case(own.oracle, own.stack.s3, windows=3)
        for run_id in case.runs:
            assert (await ended(own.runtime, run_id)).status == RunStatus.COMPLETED
        await redis.start()
        await worker.says("listening for hints", times=4)
    await own.oracle.judge(case.export_id, case.prefix, windows=3)


@asynccontextmanager
async def both_started(*workers: Worker) -> AsyncIterator[None]:
    for worker in workers:
        await worker.says("worker started")
    yield


@asynccontextmanager
async def again_and_again(own: Own, trouble: Callable[[Own], Awaitable[None]]) -> AsyncIterator[None]:
    enough = asyncio.Event()

    async def make() -> None:
        while not enough.is_set():
            await trouble(own)
            await asyncio.sleep(0.2)

    # Asked to end, rather than cancelled: a client of Redis may lose a cancellation.
    making = asyncio.create_task(make())
    try:
        yield
    finally:
        enough.set()
        await making
        await own.service("valkey").stop_stranger()
