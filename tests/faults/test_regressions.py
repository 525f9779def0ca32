"""Mistakes that this service has made, each as a test."""

from datetime import datetime, timedelta
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, select
from structlog.testing import capture_logs

from app.destinations.base import Written, WrittenFile
from app.embedded import Stack
from app.exports.due import DueWindows
from app.models import Export, Run
from app.runs.claim import Claim
from app.runs.files import RunFileRepository
from app.runtime import Runtime
from app.scheduling.tick import Ticker
from tests.backfills.test_seams import START, add_events, run_backfills
from tests.conftest import Clock
from tests.factories import make_export, utc
from tests.faults.live import Stuck, add_live
from tests.faults.oracle import Oracle
from tests.faults.test_schedulers import CALM, WINDOWS, exported_once, made
from tests.http.callers import Tenant, created, no_op
from tests.runs.claiming import add_rerun, claim, claimed, claims, lapse, row
from tests.worker.processes import Workers, until
from tests.worker.proxy import open_proxy
from tests.worker.test_outages import port_of, through


async def test_a_backfill_that_unpauses_leaves_no_window_to_be_mended(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, clock: Clock
) -> None:
    export_id = (await created(api, no_op(paused=True)))["id"]
    await add_events(runtime, tenant.project_id, START, 100)
    clock.now = utc(2026, 6, 2, 1, 15)
    body = {"start_at": "2026-06-01T20:00:00Z", "select_by": "ingested_at"}
    await api.post(f"/batch_exports/{export_id}/backfills/", json=body)
    await run_backfills(runtime, clock)
    async with runtime.sessions() as session:
        export = await session.get_one(Export, UUID(export_id))
    assert export.accounted_from == export.next_start == utc(2026, 6, 2, 1)


async def test_a_worker_whose_window_was_freed_records_nothing(runtime: Runtime) -> None:
    """Another run of the window may have come and gone meanwhile: what lies there is that one's."""
    late = await claimed(runtime)
    rerun = await add_rerun(runtime, late.run_id)
    await announce(runtime, late)
    await lapse(runtime, late)
    async with claims(runtime) as repository:
        await repository.reap()
        (await repository.session.get_one(Run, late.run_id)).not_before = utc(2100, 1, 1)
    other = await claim(runtime, "worker-2")
    assert other is not None
    assert other.run_id == rerun
    await announce(runtime, other)
    assert await complete(runtime, other)
    assert not await complete(runtime, late)
    async with runtime.sessions() as session:
        [file] = await RunFileRepository(session).of_run(rerun)
    assert file.replaced_at is None
    assert (await row(runtime, late.run_id)).status == "Running"


async def announce(runtime: Runtime, taken: Claim) -> None:
    async with runtime.sessions.begin() as session:
        await RunFileRepository(session).announce(taken, "s3://bucket", ["key"])


async def complete(runtime: Runtime, taken: Claim) -> bool:
    """As the executor does."""
    async with claims(runtime) as repository:
        if not await repository.complete(taken, 1, 1):
            return False
        file = WrittenFile("key", 1, 1, "0")
        await RunFileRepository(repository.session).commit(taken, Written(1, 1, (file,), location="s3://bucket"))
        return True


async def test_what_a_silent_scheduler_holds_is_free_after_a_while(
    runtime: Runtime, stack: Stack, workers: Workers, oracle: Oracle
) -> None:
    """Nothing ends its connection: neither side hears of the other any more."""
    url = workers.env["BATCH_EXPORTS_DATABASE_URL"]
    stuck = Stuck()
    case = await add_live(oracle, stack.s3, WINDOWS)
    async with open_proxy(port_of(url), stuck) as proxy:
        stuck.proxy = proxy
        async with workers.start(
            worker_slots="0", database_url=through(proxy, url), database_idle_transaction_limit="2"
        ) as victim:
            await until(lambda: stuck.reached, lambda: victim.log)
            ticker = Ticker(runtime.sessions, runtime.clock, DueWindows.of(runtime.settings))
            await made(runtime, ticker, case)
            await proxy.mend()
    async with workers.start(lease_ttl=CALM):
        await exported_once(oracle, case)


@pytest.mark.parametrize("skew", [timedelta(minutes=-2), timedelta(minutes=2), timedelta(days=400)], ids=str)
async def test_nothing_is_scheduled_by_a_clock_that_is_wrong_and_the_log_says_so(
    runtime: Runtime, clock: Clock, skew: timedelta
) -> None:
    async with runtime.sessions.begin() as session:
        now = await database_clock(runtime)
        export_id = (await make_export(session, runtime.cipher, next_start=now - timedelta(hours=5))).id
    ticker = Ticker(runtime.sessions, clock, DueWindows(timedelta(0), 10_000), clock_skew_limit=timedelta(seconds=30))
    clock.now = await database_clock(runtime) + skew
    with capture_logs() as logs:
        assert (await ticker.tick()).created == 0
    [said] = [entry for entry in logs if entry["log_level"] == "error"]
    assert "clock" in said["event"]
    assert abs(said["ahead_seconds"] - skew.total_seconds()) < 15
    # What goes by the database's clock goes on.
    clock.now = await database_clock(runtime)
    assert (await ticker.tick()).created > 0
    taken = await claim(runtime)
    assert taken is not None
    await lapse(runtime, taken)
    clock.now += skew
    ticked = await ticker.tick()
    assert (ticked.created, ticked.reaped) == (0, 1)
    assert taken.run_id in ticked.runs
    async with runtime.sessions() as session:
        query = select(Run.data_interval_end).where(Run.export_id == export_id)
        assert max(await session.scalars(query)) <= await database_clock(runtime)


async def database_clock(runtime: Runtime) -> datetime:
    async with runtime.sessions() as session:
        moment: datetime = (await session.scalars(select(func.clock_timestamp()))).one()
    return moment
