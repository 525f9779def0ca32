"""What a backfill may take: time for counting, and time as a whole (the contract's section 6.3)."""

from datetime import datetime, timedelta
from uuid import UUID

import pytest

from app.backfills import advance as advance_module
from app.backfills.advance import Advancer
from app.exports.due import DueWindows
from app.models import Backfill, BackfillStatus, Run, RunStatus
from app.runtime import Runtime
from app.scheduling.tick import Ticker
from tests.factories import add_event, make_backfill, make_export, utc
from tests.worker.processes import held_events

DAY = utc(2026, 1, 1)
HOUR = timedelta(hours=1)


async def add_backfill(runtime: Runtime, start: datetime | None, end: datetime | None, **values: object) -> UUID:
    async with runtime.sessions.begin() as session:
        export = await make_export(session, runtime.cipher, paused=True)
        await add_event(session, export.project_id, DAY)
        made = await make_backfill(session, export, start_at=start, end_at=end, created_at=DAY, **values)
        return made.id


async def read(runtime: Runtime, backfill_id: UUID) -> Backfill:
    async with runtime.sessions() as session:
        return await session.get_one(Backfill, backfill_id)


async def tick(runtime: Runtime, now: datetime) -> None:
    await Ticker(runtime.sessions, lambda: now, DueWindows(timedelta(0), 100)).tick()


def advancer(runtime: Runtime) -> Advancer:
    return Advancer(runtime.sessions, runtime.source, lambda: utc(2026, 2, 1), timedelta(0))


async def test_rows_that_cannot_be_counted_in_time_are_left_uncounted(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(advance_module, "INFO_TIME_LIMIT", timedelta(milliseconds=200))
    backfill_id = await add_backfill(runtime, DAY, DAY + 2 * HOUR)
    async with held_events(runtime):
        made = await advancer(runtime).advance(backfill_id)
    backfill = await read(runtime, backfill_id)
    assert (backfill.status, backfill.total_records_count) == (BackfillStatus.RUNNING, None)
    assert backfill.adjusted_start_at == DAY
    assert made is not None


@pytest.mark.parametrize(
    ("start", "end", "limit"),
    [
        (DAY, DAY + timedelta(days=3), timedelta(days=3)),
        (DAY, DAY + HOUR, timedelta(hours=12)),
        (None, DAY + HOUR, timedelta(days=31)),
        (DAY, None, timedelta(days=31)),
    ],
    ids=["as long as its range", "two attempts at one run", "no start", "no end"],
)
async def test_a_backfill_that_takes_too_long_times_out(
    runtime: Runtime, start: datetime | None, end: datetime | None, limit: timedelta
) -> None:
    backfill_id = await add_backfill(runtime, start, end)
    run_id = await advancer(runtime).advance(backfill_id)
    assert run_id is not None
    await tick(runtime, DAY + limit)
    assert (await read(runtime, backfill_id)).status == BackfillStatus.RUNNING
    late = DAY + limit + timedelta(seconds=1)
    await tick(runtime, late)
    backfill = await read(runtime, backfill_id)
    assert (backfill.status, backfill.finished_at) == (BackfillStatus.TIMED_OUT, late)
    async with runtime.sessions() as session:
        run = await session.get_one(Run, run_id)
    assert (run.status, run.finished_at) == (RunStatus.CANCELLED, late)


async def test_the_retry_of_a_run_has_the_limit_of_its_run_alone(runtime: Runtime) -> None:
    backfill_id = await add_backfill(
        runtime, DAY, DAY + HOUR, retry_of=UUID(int=1), status=BackfillStatus.RUNNING, next_start=DAY + HOUR
    )
    await tick(runtime, DAY + timedelta(days=365))
    assert (await read(runtime, backfill_id)).status == BackfillStatus.RUNNING
