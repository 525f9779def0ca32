"""Two queues: however many runs wait, ticks and backfills are heard of; and a worker may be for these alone."""

import asyncio
from uuid import UUID, uuid4

from app.models import RunStatus
from app.queue import RUNS, Queue, open_redis
from app.runtime import Runtime
from app.settings import RedisSettings
from tests.factories import add_event, make_backfill, make_export, utc
from tests.worker.processes import Workers, add_run, ended, read_run, run_that, the_run

CROWD = 3000


async def add_backfill(runtime: Runtime) -> UUID:
    """One that makes one run."""
    async with runtime.sessions.begin() as session:
        export = await make_export(session, runtime.cipher, paused=True)
        await add_event(session, export.project_id, utc(2026, 1, 1))
        return (await make_backfill(session, export, start_at=None, end_at=utc(2026, 1, 2))).id


async def test_a_crowd_of_waiting_runs_keeps_no_backfill_waiting(runtime: Runtime, workers: Workers) -> None:
    settings = RedisSettings(_env_file=None, redis_url=workers.env["BATCH_EXPORTS_REDIS_URL"])
    queue, redis = Queue(settings), open_redis(settings)
    for _ in range(CROWD // 100):
        await asyncio.gather(*(queue.wake(uuid4()) for _ in range(100)))
    backfill_id = await add_backfill(runtime)
    await queue.advance(backfill_id)
    # No tick before the test ends: a backfill is moved on by its hint alone. In one queue it would come last.
    async with workers.start(tick_interval="600", worker_poll_interval="60"):
        run_id = await the_run(runtime, backfill_id)
        still_waiting = await redis.zcard(RUNS)
        await ended(runtime, run_id)
    assert still_waiting > 0
    await queue.aclose()
    await redis.flushdb()
    await redis.aclose()


async def test_a_worker_without_slots_schedules_and_makes_no_runs(runtime: Runtime, workers: Workers) -> None:
    backfill_id = await add_backfill(runtime)
    waiting = await add_run(runtime)
    async with workers.start(worker_slots="0") as control:
        made = await the_run(runtime, backfill_id)
        await control.says("listening for hints")
        assert (await read_run(runtime, waiting)).epoch == 0
        assert (await read_run(runtime, made)).epoch == 0
        async with workers.start():
            for run_id in (waiting, made):
                assert (await run_that(runtime, run_id, lambda run: run.finished_at is not None)).status == (
                    RunStatus.COMPLETED
                )
