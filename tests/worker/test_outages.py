"""Redis and Postgres go away, and come back."""

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy import make_url

from app.models import RunStatus
from app.queue import Queue
from app.runtime import Runtime
from app.settings import RedisSettings
from tests.factories import add_event, make_backfill, make_export
from tests.worker.processes import DEADLINE, START, WINDOW, Workers, add_run, ended, held_events, run_that, started
from tests.worker.proxy import Proxy, open_proxy

AWAY = ["gone", "silent"]


async def go_away(proxy: Proxy, how: str) -> None:
    if how == "gone":
        await proxy.cut()
    else:
        proxy.freeze()


def through(proxy: Proxy, url: str) -> str:
    """The same address, by way of the proxy."""
    return make_url(url).set(port=proxy.port).render_as_string(hide_password=False)


def port_of(url: str) -> int:
    port = make_url(url).port
    assert port is not None
    return port


@pytest.mark.parametrize("how", AWAY)
async def test_without_redis_runs_go_on_and_new_ones_start(runtime: Runtime, workers: Workers, how: str) -> None:
    redis_url = workers.env["BATCH_EXPORTS_REDIS_URL"]
    # No tick is due for as long as this test lasts: only the pull path and hints can explain what happens.
    async with (
        open_proxy(port_of(redis_url)) as proxy,
        held_events(runtime) as release,
        workers.start(redis_url=through(proxy, redis_url), tick_interval="600", worker_slots="2") as worker,
    ):
        await worker.says("listening for hints", times=2)
        before = await add_run(runtime, events=0)
        await started(runtime, before)
        await go_away(proxy, how)
        await worker.says("not listening: Redis does not answer")
        meanwhile = await add_run(runtime, events=0)
        await run_that(runtime, meanwhile, lambda run: run.owner is not None)
        await release()
        for run_id in (before, meanwhile):
            run = await ended(runtime, run_id)
            assert (run.status, run.epoch, run.attempt) == (RunStatus.COMPLETED, 1, 0)

        await proxy.mend()
        await worker.says("listening for hints", times=4)
        await hinted_backfill(runtime, redis_url)


async def hinted_backfill(runtime: Runtime, redis_url: str) -> None:
    """A backfill that nothing but a hint can start, ends."""
    async with runtime.sessions.begin() as session:
        export = await make_export(session, runtime.cipher)
        await add_event(session, export.project_id, START)
        backfill = await make_backfill(session, export, start_at=START, end_at=WINDOW.end)
    queue = Queue(RedisSettings(_env_file=None, redis_url=redis_url))
    await queue.advance(backfill.id)
    await queue.aclose()
    async with asyncio.timeout(DEADLINE):
        while backfill.finished_at is None:
            await asyncio.sleep(0.02)
            async with runtime.sessions() as session:
                backfill = await session.get_one(type(backfill), backfill.id)
    assert backfill.status == "Completed"


@pytest.mark.parametrize("how", AWAY)
async def test_a_short_outage_of_postgres_interrupts_no_run(runtime: Runtime, workers: Workers, how: str) -> None:
    database_url = workers.env["BATCH_EXPORTS_DATABASE_URL"]
    run_id = await add_run(runtime)
    async with (
        open_proxy(port_of(database_url)) as proxy,
        held_events(runtime) as release,
        workers.start(
            database_url=through(proxy, database_url), event_store_url=database_url, lease_ttl="15"
        ) as worker,
    ):
        await started(runtime, run_id)
        await go_away(proxy, how)
        await worker.says("heartbeat missed")
        await proxy.mend()
        await release()
        run = await ended(runtime, run_id)
        assert (run.status, run.epoch, run.attempt) == (RunStatus.COMPLETED, 1, 0)


@pytest.mark.parametrize("how", AWAY)
async def test_a_long_outage_of_postgres_stops_the_run_which_is_then_made_anew(
    runtime: Runtime, workers: Workers, how: str
) -> None:
    database_url = workers.env["BATCH_EXPORTS_DATABASE_URL"]
    run_id = await add_run(runtime)
    async with (
        open_proxy(port_of(database_url)) as proxy,
        held_events(runtime) as release,
        workers.start(database_url=through(proxy, database_url), event_store_url=database_url, lease_ttl="2") as worker,
    ):
        run = await started(runtime, run_id)
        await go_away(proxy, how)
        await worker.says("run stopped")
        lease_until = (await run_that(runtime, run_id, lambda run: run.epoch == 1)).lease_until
        assert lease_until is not None
        assert run.lease_until is not None
        assert lease_until - run.lease_until < timedelta(seconds=2)
        await proxy.mend()
        # Not always the second: a claim whose answer was held up for most of its lease is not relied on.
        await run_that(runtime, run_id, lambda run: run.epoch >= 2)
        await release()
        run = await ended(runtime, run_id)
        assert (run.status, run.attempt) == (RunStatus.COMPLETED, 0)
