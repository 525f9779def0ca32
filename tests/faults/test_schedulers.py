"""Many schedulers, some killed or cut off in the middle of a pass, and hints that come again and again.

One run of each window, none missing, each made by one worker, and one set of objects.
"""

import asyncio
from contextlib import AsyncExitStack

import pytest

from app.embedded import Stack
from app.exports.due import DueWindows
from app.models import RunStatus
from app.queue import Queue
from app.runtime import Runtime, open_runtime
from app.scheduling.tick import Ticker
from app.settings import RedisSettings
from tests.faults.cases import Case
from tests.faults.live import Stuck, add_live, runs_of
from tests.faults.oracle import Oracle
from tests.worker.processes import DEADLINE, Workers, ended, until
from tests.worker.proxy import open_proxy
from tests.worker.test_outages import port_of, through

CALM = "30"
"""Seconds of a lease. Even on a busy machine none lapses by itself: the epoch says how many workers had the run."""
NEVER = "600"
"""Seconds between looking by oneself: only hints say that there is work."""
WINDOWS = 3


async def made(runtime: Runtime, ticker: Ticker, case: Case) -> None:
    """Tick until all of an export's due windows have their runs."""
    async with asyncio.timeout(DEADLINE):
        while len(await runs_of(runtime, case)) < WINDOWS:
            await ticker.tick()


async def exported_once(oracle: Oracle, case: Case, windows: int = WINDOWS) -> None:
    """Every window has one run, which one worker made at its first attempt; and its events are there, once."""
    runs = await runs_of(oracle.runtime, case)
    assert len(runs) == len({(run.data_interval_start, run.data_interval_end) for run in runs}) == windows
    for run in runs:
        run = await ended(oracle.runtime, run.id)
        assert (run.status, run.epoch, run.attempt) == (RunStatus.COMPLETED, 1, 0)
    await oracle.judge(case.export_id, case.prefix, windows=windows)


async def test_fifty_ticks_at_once_and_every_hint_three_times_export_once(
    runtime: Runtime, stack: Stack, workers: Workers, oracle: Oracle
) -> None:
    async with (
        workers.start(lease_ttl=CALM, worker_poll_interval=NEVER, tick_interval=NEVER) as one,
        workers.start(lease_ttl=CALM, worker_poll_interval=NEVER, tick_interval=NEVER) as other,
    ):
        for worker in (one, other):
            await worker.says("listening for hints", times=2)
        case = await add_live(oracle, stack.s3, 1)
        ticker = Ticker(runtime.sessions, runtime.clock, DueWindows.of(runtime.settings))
        ticked = await asyncio.gather(*(ticker.tick() for _ in range(50)))
        # Or it was a tick of the workers' own that came first.
        assert sum(one.created for one in ticked) <= 1
        [run] = await runs_of(runtime, case)
        queue = Queue(RedisSettings(_env_file=None, redis_url=workers.env["BATCH_EXPORTS_REDIS_URL"]))
        await asyncio.gather(*(queue.wake(run.id) for _ in range(3)))
        await ended(runtime, run.id)
        # Nor do hints of a run that has ended make it again.
        await asyncio.gather(*(queue.wake(run.id) for _ in range(3)))
        await queue.aclose()
        await exported_once(oracle, case, windows=1)
    assert one.log.count("run started") + other.log.count("run started") == 1


@pytest.mark.parametrize("schedulers", [2, 5])
async def test_schedulers_that_start_together_make_each_run_once(
    runtime: Runtime, stack: Stack, workers: Workers, oracle: Oracle, schedulers: int
) -> None:
    cases = [await add_live(oracle, stack.s3, WINDOWS) for _ in range(2)]
    async with AsyncExitStack() as running:
        tickers = []
        for number in range(schedulers):
            own = open_runtime(runtime.settings, application_name=f"scheduler {number}", clock=runtime.clock)
            opened = await running.enter_async_context(own)
            tickers.append(Ticker(opened.sessions, opened.clock, DueWindows.of(opened.settings)))
        ticked = await asyncio.gather(*(ticker.tick() for ticker in tickers for _ in range(2)))
    assert sum(one.created for one in ticked) == 2 * WINDOWS
    async with workers.start(lease_ttl=CALM):
        for case in cases:
            await exported_once(oracle, case)


@pytest.mark.parametrize("how", ["killed", "cut off", "silent for a while"])
async def test_a_scheduler_that_is_lost_in_the_middle_of_a_pass_loses_and_doubles_nothing(
    runtime: Runtime, stack: Stack, workers: Workers, oracle: Oracle, how: str
) -> None:
    url = workers.env["BATCH_EXPORTS_DATABASE_URL"]
    stuck = Stuck()
    ticker = Ticker(runtime.sessions, runtime.clock, DueWindows.of(runtime.settings))
    case = await add_live(oracle, stack.s3, WINDOWS)
    async with open_proxy(port_of(url), stuck) as proxy:
        stuck.proxy = proxy
        async with workers.start(worker_slots="0", database_url=through(proxy, url)) as victim:
            await until(lambda: stuck.reached, lambda: victim.log)
            # What the victim holds nobody else may touch; but nobody is held up by it.
            other = await add_live(oracle, stack.s3, WINDOWS)
            async with asyncio.timeout(DEADLINE):
                assert (await ticker.tick()).created == WINDOWS
            assert len(await runs_of(runtime, other)) == WINDOWS
            assert await runs_of(runtime, case) == []
            if how == "killed":
                await victim.kill()
            if how != "silent for a while":
                await proxy.cut()
            await proxy.mend()
            await made(runtime, ticker, case)
            async with workers.start(lease_ttl=CALM):
                for scheduled in (case, other):
                    await exported_once(oracle, scheduled)
