"""A backfill goes window by window: the contract's section 6.3."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select, text

from app.backfills.advance import Advancer
from app.exports.due import DueWindows
from app.models import Backfill, BackfillStatus, Export, Run, RunStatus
from app.runs.claims import ClaimRepository
from app.runtime import Runtime
from app.scheduling.tick import Ticker
from tests.factories import add_event, make_backfill, make_export, utc

DAY = utc(2026, 1, 1)


def advancer(runtime: Runtime, now: datetime = utc(2026, 2, 1)) -> Advancer:  # noqa: B008  a constant
    return Advancer(runtime.sessions, runtime.source, lambda: now, timedelta(0))


async def add_backfill(runtime: Runtime, events: list[datetime], interval: str = "hour", **values: Any) -> UUID:
    async with runtime.sessions.begin() as session:
        export = await make_export(session, runtime.cipher, interval=interval, paused=True)
        for moment in events:
            await add_event(session, export.project_id, moment, inserted_at=utc(2026, 1, 31))
        return (await make_backfill(session, export, **values)).id


async def read(runtime: Runtime, backfill_id: UUID) -> Backfill:
    async with runtime.sessions() as session:
        return await session.get_one(Backfill, backfill_id)


async def windows(runtime: Runtime, backfill_id: UUID) -> list[tuple[datetime | None, datetime]]:
    async with runtime.sessions() as session:
        query = select(Run.data_interval_start, Run.data_interval_end).where(Run.backfill_id == backfill_id)
        return [(start, end) for start, end in await session.execute(query.order_by(Run.data_interval_end))]


async def end_run(runtime: Runtime, status: RunStatus = RunStatus.COMPLETED, rows: int = 1) -> None:
    """Claim the one run that is ready and end it."""
    async with runtime.sessions.begin() as session:
        claim = await ClaimRepository(session).claim("test", timedelta(seconds=40))
        assert claim is not None
        run = await session.get_one(Run, claim.run_id)
        run.status, run.records_completed, run.lease_until = status, rows, None


async def run_through(runtime: Runtime, backfill_id: UUID, now: datetime = utc(2026, 2, 1)) -> None:  # noqa: B008
    while await advancer(runtime, now).advance(backfill_id):
        await end_run(runtime)


async def test_windows_come_strictly_one_after_another(runtime: Runtime) -> None:
    backfill_id = await add_backfill(runtime, [DAY], start_at=DAY, end_at=utc(2026, 1, 1, 3))
    assert await advancer(runtime).advance(backfill_id)
    assert await advancer(runtime).advance(backfill_id) is None
    assert await windows(runtime, backfill_id) == [(DAY, utc(2026, 1, 1, 1))]
    await end_run(runtime)
    await run_through(runtime, backfill_id)
    assert [start for start, _ in await windows(runtime, backfill_id)] == [utc(2026, 1, 1, hour) for hour in range(3)]
    backfill = await read(runtime, backfill_id)
    assert (backfill.status, backfill.total_records_count) == (BackfillStatus.COMPLETED, 3)
    assert backfill.finished_at is not None


async def test_concurrent_passes_make_one_run(runtime: Runtime) -> None:
    backfill_id = await add_backfill(runtime, [DAY], start_at=DAY, end_at=utc(2026, 1, 1, 3))
    made = await asyncio.gather(*(advancer(runtime).advance(backfill_id) for _ in range(8)))
    assert len([one for one in made if one]) == 1


async def test_a_failed_window_does_not_stop_the_backfill(runtime: Runtime) -> None:
    backfill_id = await add_backfill(runtime, [DAY], start_at=DAY, end_at=utc(2026, 1, 1, 2))
    await advancer(runtime).advance(backfill_id)
    await end_run(runtime, RunStatus.FAILED)
    await run_through(runtime, backfill_id)
    backfill = await read(runtime, backfill_id)
    assert (backfill.status, backfill.total_records_count) == (BackfillStatus.COMPLETED, 1)


async def test_a_trailing_partial_window_is_left_out(runtime: Runtime) -> None:
    backfill_id = await add_backfill(runtime, [DAY], start_at=DAY, end_at=utc(2026, 1, 1, 2, 59))
    await run_through(runtime, backfill_id)
    assert len(await windows(runtime, backfill_id)) == 2


async def test_no_rows_means_done_at_once(runtime: Runtime) -> None:
    backfill_id = await add_backfill(runtime, [], start_at=DAY, end_at=utc(2026, 1, 2))
    assert await advancer(runtime).advance(backfill_id) is None
    backfill = await read(runtime, backfill_id)
    assert (backfill.status, backfill.total_records_count) == (BackfillStatus.COMPLETED, 0)
    assert backfill.adjusted_start_at == DAY
    assert await windows(runtime, backfill_id) == []


async def test_windows_begin_where_the_data_does(runtime: Runtime) -> None:
    backfill_id = await add_backfill(runtime, [utc(2026, 1, 1, 20, 30)], start_at=DAY, end_at=utc(2026, 1, 2))
    await run_through(runtime, backfill_id)
    backfill = await read(runtime, backfill_id)
    assert (backfill.start_at, backfill.adjusted_start_at) == (DAY, utc(2026, 1, 1, 20))
    assert [start for start, _ in await windows(runtime, backfill_id)] == [
        utc(2026, 1, 1, hour) for hour in range(20, 24)
    ]


async def test_no_start_makes_one_run_over_all_of_the_past(runtime: Runtime) -> None:
    backfill_id = await add_backfill(runtime, [DAY], start_at=None, end_at=utc(2026, 1, 2))
    await run_through(runtime, backfill_id)
    assert await windows(runtime, backfill_id) == [(None, utc(2026, 1, 2))]


async def test_no_end_goes_on_until_now_and_unpauses_the_export(runtime: Runtime) -> None:
    backfill_id = await add_backfill(runtime, [DAY], start_at=DAY, end_at=None)
    await run_through(runtime, backfill_id, now=utc(2026, 1, 1, 2, 30))
    assert len(await windows(runtime, backfill_id)) == 2
    async with runtime.sessions() as session:
        assert not (await session.scalars(select(Export))).one().paused


async def test_a_cancelled_backfill_makes_no_more_runs(runtime: Runtime) -> None:
    backfill_id = await add_backfill(runtime, [DAY], start_at=DAY, end_at=utc(2026, 1, 2))
    await advancer(runtime).advance(backfill_id)
    await end_run(runtime)
    async with runtime.sessions.begin() as session:
        await session.execute(text("UPDATE backfills SET status = 'Cancelled'"))
    assert await advancer(runtime).advance(backfill_id) is None
    assert len(await windows(runtime, backfill_id)) == 1


async def test_a_pass_waits_for_an_export_that_is_being_deleted(runtime: Runtime) -> None:
    backfill_id = await add_backfill(runtime, [DAY], start_at=DAY, end_at=utc(2026, 1, 2))
    await advancer(runtime).advance(backfill_id)
    await end_run(runtime)
    async with runtime.sessions.begin() as session:
        # As deleting does: the export first, then its backfills.
        export = (await session.scalars(select(Export).with_for_update())).one()
        passing = asyncio.create_task(advancer(runtime).advance(backfill_id))
        async with asyncio.timeout(10), runtime.engine.connect() as other:
            waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = :name")
            while not await other.scalar(waiting, {"name": runtime.engine.url.database}):
                await other.rollback()
        export.deleted = True
        await session.execute(text("UPDATE backfills SET status = 'Cancelled'"))
    assert await passing is None
    assert len(await windows(runtime, backfill_id)) == 1


async def test_a_backfill_without_any_working_worker_is_found_by_the_tick(runtime: Runtime) -> None:
    backfill_id = await add_backfill(runtime, [DAY], start_at=DAY, end_at=utc(2026, 1, 2))
    ticker = Ticker(runtime.sessions, lambda: utc(2026, 2, 1), DueWindows(timedelta(0), 1000))
    assert (await ticker.tick()).backfills == [backfill_id]
    await advancer(runtime).advance(backfill_id)
    assert (await ticker.tick()).backfills == []
