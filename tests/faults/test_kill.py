"""A worker is killed: at every named moment of a run, and at random ones. Another one makes the run anew."""

import asyncio
import random
from contextlib import AsyncExitStack

import pytest

from app import failpoints
from app.embedded import Stack
from app.failpoints import NAMES
from app.models import RunStatus
from app.runtime import Runtime
from tests.faults.cases import add_case, add_runs
from tests.faults.oracle import Oracle
from tests.worker.processes import DEADLINE, Worker, Workers, ended, read_run

REPEATED = (failpoints.PART_SENT, failpoints.FILE_COMMITTED)
"""Reached more than once where there are many files."""
MOMENTS = [
    # A single file is sent in one piece by its commit, and has no manifest.
    *(("one file", name, 1) for name in NAMES if name not in (failpoints.PART_SENT, failpoints.MANIFEST_COMMITTED)),
    *(("many files", name, 1) for name in NAMES),
    *(("many files", name, 3) for name in REPEATED),
]
KILLS = 50
SEED = 20260101


@pytest.mark.parametrize(("shape", "point", "count"), MOMENTS)
async def test_a_worker_is_killed_at_a_named_moment(
    runtime: Runtime, stack: Stack, workers: Workers, oracle: Oracle, shape: str, point: str, count: int
) -> None:
    case = await add_case(oracle, stack.s3, shape)
    async with workers.start(at=(point, count, "KILL")) as victim:
        await victim.died()
        assert f"failpoint: {point}" in victim.log
    async with workers.start() as other:
        await other.says("worker started")
        run = await ended(runtime, case.runs[0])
    await oracle.judge(case.export_id, case.prefix, windows=1)
    # The loss of a worker is no failure; nor is a run that was recorded made twice.
    assert (run.status, run.attempt) == (RunStatus.COMPLETED, 0)
    assert (run.epoch > 1) == (point != failpoints.RECORDED)


async def test_a_worker_that_is_killed_whenever_it_has_begun_still_loses_nothing(
    runtime: Runtime, stack: Stack, workers: Workers, oracle: Oracle
) -> None:
    case = await add_case(oracle, stack.s3, "many files")
    for point in (failpoints.PART_SENT, failpoints.ANNOUNCED, failpoints.FILE_COMMITTED, failpoints.MANIFEST_COMMITTED):
        async with workers.start(at=(point, 1, "KILL")) as victim:
            await victim.died()
    async with workers.start():
        await ended(runtime, case.runs[0])
    await oracle.judge(case.export_id, case.prefix, windows=1)
    assert (await read_run(runtime, case.runs[0])).epoch >= 5


async def test_workers_are_killed_at_fifty_random_moments(
    runtime: Runtime, stack: Stack, workers: Workers, oracle: Oracle
) -> None:
    """Two workers, of which the one that has just begun a run is killed a random moment later, and replaced."""
    chance = random.Random(SEED)
    case = await add_case(oracle, stack.s3, "many files", windows=KILLS, due=0, size=20_000)
    async with AsyncExitStack() as running:

        async def start() -> Worker:
            return await running.enter_async_context(workers.start(worker_slots="1", lease_ttl="2"))

        alive = [await start(), await start()]
        for number in range(KILLS):
            [run_id] = await add_runs(runtime, case, number)
            victim = await who_has(alive, str(run_id))
            await asyncio.sleep(chance.uniform(0, 0.5))
            await victim.kill()
            alive = [worker for worker in alive if worker is not victim] + [await start()]
        for run_id in case.runs:
            run = await ended(runtime, run_id, 2 * DEADLINE)
            assert (run.status, run.attempt) == (RunStatus.COMPLETED, 0)
        # One that is still being loaded would be ended by SIGTERM before it knows what that means.
        for worker in alive:
            await worker.says("worker started")
    await oracle.judge(case.export_id, case.prefix, windows=KILLS)


async def who_has(alive: list[Worker], run_id: str) -> Worker:
    """The worker that was the first to begin the run."""
    async with asyncio.timeout(DEADLINE):
        while True:
            for worker in alive:
                if f"run_id={run_id}" in worker.log:
                    return worker
            await asyncio.sleep(0.01)
