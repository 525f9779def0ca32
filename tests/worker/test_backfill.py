"""A backfill by a worker process: the contract's windows, strictly one after another."""

import asyncio
import itertools
from datetime import UTC, datetime, timedelta

from sqlalchemy import select

from app.models import Backfill, BackfillStatus, Run, RunStatus
from app.queue import Queue
from app.runtime import Runtime
from app.settings import RedisSettings
from tests.factories import add_event, make_backfill, make_export, utc
from tests.worker.processes import DEADLINE, Workers

DAY = utc(2026, 1, 1)


async def test_a_day_makes_its_24_runs_one_after_another(runtime: Runtime, workers: Workers) -> None:
    async with runtime.sessions.begin() as session:
        export = await make_export(session, runtime.cipher, paused=True)
        for hour in range(24):
            await add_event(session, export.project_id, DAY + timedelta(hours=hour))
    queue = Queue(RedisSettings(_env_file=None, redis_url=workers.env["BATCH_EXPORTS_REDIS_URL"]))
    # No tick is due before the test ends: every step follows from the hint, or from the run before.
    async with workers.start(tick_interval="600", worker_slots="3", worker_poll_interval="30") as worker:
        await worker.says("listening for hints", times=2)
        async with runtime.sessions.begin() as session:
            backfill = await make_backfill(session, export, start_at=DAY, end_at=DAY + timedelta(days=1))
        hinted = datetime.now(UTC)
        await queue.advance(backfill.id)
        async with asyncio.timeout(DEADLINE):
            while backfill.finished_at is None:
                await asyncio.sleep(0.02)
                async with runtime.sessions() as session:
                    backfill = await session.get_one(Backfill, backfill.id)
    await queue.aclose()
    async with runtime.sessions() as session:
        runs = (await session.scalars(select(Run).order_by(Run.created_at))).all()
    assert (backfill.status, backfill.total_records_count) == (BackfillStatus.COMPLETED, 24)
    assert [run.data_interval_start for run in runs] == [DAY + timedelta(hours=hour) for hour in range(24)]
    assert {(run.status, run.records_completed, run.epoch) for run in runs} == {(RunStatus.COMPLETED, 1, 1)}
    for earlier, later in itertools.pairwise(runs):
        assert earlier.finished_at is not None
        assert earlier.finished_at <= later.created_at
    print(f"first run {runs[0].created_at - hinted} after the hint, all 24 in {backfill.finished_at - hinted}")
