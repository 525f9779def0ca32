"""An export whose runs fail and fail is paused, once, and resumed without being paused again at once."""

import asyncio
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from sqlalchemy import func, select

from app.exports.autopause import WINDOWS, AutoPause
from app.exports.failures import note_failure
from app.models import Backfill, Interval, Notification, Run, RunStatus, UncountedFailure
from app.runtime import Runtime
from app.scheduling.intervals import Schedule
from tests.conftest import Clock
from tests.exports.ending import ERROR, add_export, claim_of, end, read, runs_of, tick, told, warnings
from tests.factories import make_backfill, utc
from tests.http.callers import Tenant

START = utc(2026, 5, 31)
HOUR = timedelta(hours=1)


async def fail(runtime: Runtime, export_id: UUID, number: int, status: RunStatus = RunStatus.FAILED) -> None:
    """The oldest runs that have not ended end so, each counted by the worker that had it."""
    unfinished = [run for run in await runs_of(runtime, export_id) if run.finished_at is None]
    for run in unfinished[:number]:
        await end(runtime, run, status)
        await AutoPause.of(runtime).after_failure(export_id)


async def uncounted(runtime: Runtime) -> int:
    async with runtime.sessions() as session:
        return (await session.scalars(select(func.count()).select_from(UncountedFailure))).one()


async def hourly(runtime: Runtime, hours: int = 30, **values: Any) -> UUID:
    """With so many runs."""
    export_id = await add_export(runtime, next_start=START, **values)
    await tick(runtime, START + hours * HOUR)
    return export_id


async def test_the_tenth_failure_pauses(runtime: Runtime, clock: Clock) -> None:
    export_id = await hourly(runtime)
    await fail(runtime, export_id, 9)
    assert not (await read(runtime, export_id)).paused
    assert await warnings(runtime, export_id) == []
    await fail(runtime, export_id, 1)
    export = await read(runtime, export_id)
    assert (export.paused, export.last_paused_at, export.last_updated_at) == (True, clock.now, clock.now)
    assert await warnings(runtime, export_id) == [
        "Paused this export, because 10 of its latest 10 runs failed. The last error: Misconfigured: bucket 'b' does "
        "not exist. Mend that and unpause the export; unpausing with a backfill exports what it misses meanwhile."
    ]
    assert await told(runtime, export_id) == ["export_paused", "run_failed"]
    async with runtime.sessions() as session:
        [data] = await session.scalars(select(Notification.data).where(Notification.kind == "export_paused"))
    assert (data["failed_runs"], data["error"]) == (10, str(ERROR))
    assert await uncounted(runtime) == 0


@pytest.mark.parametrize("interval", [*Interval])
async def test_the_window_and_never_more_than_it_decides(runtime: Runtime, interval: Interval) -> None:
    start = Schedule(interval).align(START)
    export_id = await add_export(runtime, next_start=start, interval=interval)
    await tick(runtime, start + timedelta(days=60))
    needed = min(10, WINDOWS[interval])
    await fail(runtime, export_id, needed - 1)
    assert not (await read(runtime, export_id)).paused
    await fail(runtime, export_id, 1)
    assert (await read(runtime, export_id)).paused


async def test_failures_that_others_have_pushed_out_of_the_window_do_not_count(runtime: Runtime) -> None:
    export_id = await hourly(runtime, 60)
    await fail(runtime, export_id, 9)
    await fail(runtime, export_id, 24, RunStatus.COMPLETED)
    await fail(runtime, export_id, 9)
    assert not (await read(runtime, export_id)).paused
    await fail(runtime, export_id, 1)
    assert (await read(runtime, export_id)).paused


@pytest.mark.parametrize(
    "status",
    [
        RunStatus.FAILED_RETRYABLE,
        RunStatus.FAILED_BILLING,
        RunStatus.TIMED_OUT,
        RunStatus.CANCELLED,
        RunStatus.COMPLETED,
    ],
)
async def test_no_other_end_counts(runtime: Runtime, status: RunStatus) -> None:
    export_id = await hourly(runtime)
    await fail(runtime, export_id, 20, status)
    assert not (await read(runtime, export_id)).paused
    people_know = status in (RunStatus.FAILED_RETRYABLE, RunStatus.TIMED_OUT)
    assert await told(runtime, export_id) == (["run_failed"] if people_know else [])


@pytest.mark.parametrize(("after", "paused_at"), [(0, None), (1, 1), (3, 3), (100, 24)])
async def test_the_setting_decides(runtime: Runtime, after: int, paused_at: int | None) -> None:
    export_id = await hourly(runtime)
    object.__setattr__(runtime, "settings", runtime.settings.model_copy(update={"auto_pause_after": after}))
    for failed in range(1, 27):
        await fail(runtime, export_id, 1)
        if (await read(runtime, export_id)).paused:
            assert failed == paused_at
            return
    assert paused_at is None


async def test_runs_of_backfills_are_told_of_and_do_not_count(runtime: Runtime) -> None:
    export_id = await add_export(runtime, next_start=START, name="Orders")
    async with runtime.sessions.begin() as session:
        export = await read(runtime, export_id)
        backfill = await make_backfill(session, export, start_at=START, end_at=START + 20 * HOUR, status="Running")
        runs = [
            Run(
                export_id=export_id,
                project_id=export.project_id,
                backfill_id=backfill.id,
                data_interval_start=START + hour * HOUR,
                data_interval_end=START + (hour + 1) * HOUR,
            )
            for hour in range(12)
        ]
        session.add_all(runs)
    for run in runs:
        await end(runtime, run)
        await AutoPause.of(runtime).after_failure(export_id)
    assert not (await read(runtime, export_id)).paused
    assert await told(runtime, export_id) == ["run_failed"]
    async with runtime.sessions() as session:
        [data] = await session.scalars(select(Notification.data))
    assert (data["export_name"], data["run_id"], data["backfill_id"]) == ("Orders", str(runs[0].id), str(backfill.id))


async def test_unfinished_backfills_and_their_runs_are_cancelled_and_scheduled_runs_go_on(
    runtime: Runtime, clock: Clock
) -> None:
    export_id = await hourly(runtime, 12)
    export = await read(runtime, export_id)
    async with runtime.sessions.begin() as session:
        running = await make_backfill(session, export, start_at=START, end_at=START + HOUR, status="Running")
        done = await make_backfill(session, export, start_at=START, end_at=START + HOUR, status="Completed")
        of_backfill = Run(
            export_id=export_id,
            project_id=export.project_id,
            backfill_id=running.id,
            data_interval_start=START,
            data_interval_end=START + HOUR,
            status="Running",
        )
        session.add(of_backfill)
    await fail(runtime, export_id, 10)
    async with runtime.sessions() as session:
        assert (await session.get_one(Backfill, running.id)).status == "Cancelled"
        assert (await session.get_one(Backfill, running.id)).finished_at == clock.now
        assert (await session.get_one(Backfill, done.id)).status == "Completed"
        assert (await session.get_one(Run, of_backfill.id)).status == "Cancelled"
    assert [run.status for run in await runs_of(runtime, export_id)][10:] == ["Starting", "Starting"]
    [line] = await warnings(runtime, export_id)
    assert line.startswith("Paused this export, and cancelled 1 unfinished backfill, because 10 of")


async def test_many_workers_at_once_pause_once(runtime: Runtime) -> None:
    export_id = await hourly(runtime)
    for run in (await runs_of(runtime, export_id))[:10]:
        await end(runtime, run)
    await asyncio.gather(*(AutoPause.of(runtime).after_failure(export_id) for _ in range(8)))
    assert (await told(runtime, export_id)).count("export_paused") == 1
    assert len(await warnings(runtime, export_id)) == 1


async def test_what_a_lost_worker_did_not_count_the_tick_does(runtime: Runtime, clock: Clock) -> None:
    export_id = await hourly(runtime)
    for run in (await runs_of(runtime, export_id))[:10]:
        await end(runtime, run)
    assert not (await read(runtime, export_id)).paused
    await AutoPause.of(runtime).catch_up(clock.now)
    assert (await read(runtime, export_id)).paused
    assert await uncounted(runtime) == 0


async def test_an_end_that_is_not_recorded_leaves_no_trace(runtime: Runtime) -> None:
    export_id = await hourly(runtime)
    [run, *_] = await runs_of(runtime, export_id)
    async with runtime.sessions() as session:
        await note_failure(session, claim_of(run), RunStatus.FAILED, ERROR, runtime.clock())
        await session.rollback()
    assert (await uncounted(runtime), await told(runtime)) == (0, [])


@pytest.mark.parametrize("backfill", [False, True])
async def test_resumed_it_starts_counting_anew_and_what_it_missed_can_be_made_up(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, clock: Clock, backfill: bool
) -> None:
    clock.now = START + 30 * HOUR + timedelta(minutes=10)
    export_id = await hourly(runtime, 29, project_id=tenant.project_id)
    await fail(runtime, export_id, 10)
    # A window has closed, and no tick has come by: it is the pause's.
    assert (await read(runtime, export_id)).next_start == START + 29 * HOUR
    clock.now += 5 * HOUR
    await tick(runtime, clock.now)
    assert len(await runs_of(runtime, export_id)) == 29
    await fail(runtime, export_id, 19)
    url = f"/batch_exports/{export_id}/"
    assert (await api.post(f"{url}unpause/", json={"backfill": backfill})).json() == {"paused": False}
    assert (await uncounted(runtime), (await read(runtime, export_id)).paused) == (0, False)
    if backfill:
        async with runtime.sessions() as session:
            made = (await session.scalars(select(Backfill))).one()
        assert made.adjusted_start_at == START + 29 * HOUR
    for failed in range(1, 11):
        clock.now += HOUR
        await tick(runtime, clock.now)
        await fail(runtime, export_id, 1)
        assert (await read(runtime, export_id)).paused is (failed == 10)
    assert (await told(runtime, export_id)).count("export_paused") == 2


@pytest.mark.parametrize("state", ["paused", "deleted"])
async def test_what_is_stopped_already_is_left_as_it_is(runtime: Runtime, clock: Clock, state: str) -> None:
    export_id = await hourly(runtime)
    async with runtime.sessions.begin() as session:
        export = await read(runtime, export_id)
        setattr(export, state, True)
        await session.merge(export)
    await fail(runtime, export_id, 12)
    export = await read(runtime, export_id)
    assert (export.last_paused_at, "export_paused" in await told(runtime, export_id)) == (None, False)
    assert await uncounted(runtime) == 0


async def test_failures_are_told_once_a_day(runtime: Runtime, clock: Clock) -> None:
    export_id = await hourly(runtime)
    days: list[datetime] = [utc(2026, 6, 1, 0), utc(2026, 6, 1, 23, 59), utc(2026, 6, 2, 0, 1)]
    for clock.now in days:
        await fail(runtime, export_id, 1)
    assert await told(runtime, export_id) == ["run_failed", "run_failed"]
