"""Worker processes from their start to their end, whatever way that comes."""

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text

from app.embedded import Stack
from app.models import LogEntry, RunStatus
from app.runtime import Runtime
from tests.factories import add_event, make_export
from tests.worker.bucket import contents
from tests.worker.processes import (
    Workers,
    add_run,
    ended,
    held_events,
    read_run,
    run_that,
    started,
    the_run,
    until,
    waiting_queries,
)


@pytest.mark.parametrize("destination", ["NoOp", "S3"])
async def test_a_due_window_is_exported_and_recorded(
    runtime: Runtime, workers: Workers, stack: Stack, destination: str
) -> None:
    end = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    start = end - timedelta(hours=1)
    async with runtime.sessions.begin() as session:
        export = await make_export(
            session,
            runtime.cipher,
            destination_type=destination,
            config={**stack.s3, "prefix": f"{runtime.engine.url.database}/"} if destination == "S3" else {},
            next_start=start,
            end_at=end,
        )
        for minute in (0, 59):
            await add_event(session, export.project_id, start + timedelta(minutes=minute))
        await add_event(session, export.project_id, end)
    # So long that only the worker's end can explain that the lines are there.
    async with workers.start(log_flush_interval="600"):
        run = await ended(runtime, await the_run(runtime))
    assert (run.status, run.records_completed, run.attempt, run.epoch) == (RunStatus.COMPLETED, 2, 0, 1)
    async with runtime.sessions() as session:
        lines = (await session.scalars(select(LogEntry).order_by(LogEntry.id))).all()
    assert {(line.export_id, line.run_id, line.level) for line in lines} == {(run.export_id, run.id, "INFO")}
    assert [line.message.split(" ", 2)[:2] for line in lines] == [
        ["Exporting", start.isoformat()[:19] + "Z"],
        ["Done:", "2"],
    ]
    if destination == "S3":
        [(_, data)] = (await contents(stack, f"{runtime.engine.url.database}/")).items()
        assert data.count(b"\n") == 2
        assert run.bytes_exported == len(data)


async def test_a_killed_workers_run_goes_on_elsewhere_and_counts_as_no_attempt(
    runtime: Runtime, workers: Workers
) -> None:
    run_id = await add_run(runtime)
    async with held_events(runtime) as release:
        async with workers.start() as first:
            lost = await started(runtime, run_id)
            await first.kill()
        async with workers.start() as second:
            taken = await run_that(runtime, run_id, lambda run: run.epoch == 2)
            assert taken.owner != lost.owner
            await release()
            run = await ended(runtime, run_id)
            await second.says("run completed")
    assert (run.status, run.attempt, run.epoch) == (RunStatus.COMPLETED, 0, 2)


async def test_a_stopped_worker_hands_its_run_back_and_ends_well(runtime: Runtime, workers: Workers) -> None:
    run_id = await add_run(runtime)
    async with held_events(runtime) as release:
        # A lease so long that only handing back can explain what follows.
        async with workers.start(lease_ttl="600") as first:
            before = await started(runtime, run_id)
            assert await first.terminate() == 0
            assert "run handed back" in first.log
        run = await read_run(runtime, run_id)
        assert (run.status, run.owner, run.lease_until) == (RunStatus.RUNNING, None, None)
        assert (run.attempt, run.epoch, run.not_before) == (0, 1, before.not_before)
        assert await waiting_queries(runtime) == 0
        async with workers.start():
            await run_that(runtime, run_id, lambda run: run.epoch == 2)
            await release()
            run = await ended(runtime, run_id)
    assert (run.status, run.attempt, run.epoch) == (RunStatus.COMPLETED, 0, 2)


async def test_a_stopped_worker_lets_its_run_finish_within_the_grace_time(runtime: Runtime, workers: Workers) -> None:
    run_id = await add_run(runtime)
    async with held_events(runtime) as release, workers.start(worker_shutdown_grace="20") as worker:
        await started(runtime, run_id)
        worker.process.terminate()
        await release()
        assert await worker.process.wait() == 0
    run = await read_run(runtime, run_id)
    assert (run.status, run.epoch) == (RunStatus.COMPLETED, 1)


async def test_a_cancelled_run_stops_at_the_next_heartbeat_and_leaves_nothing(
    runtime: Runtime, workers: Workers, stack: Stack
) -> None:
    prefix = f"{runtime.engine.url.database}/"
    run_id = await add_run(runtime, "S3", {**stack.s3, "prefix": prefix})
    async with held_events(runtime) as release, workers.start() as worker:
        await started(runtime, run_id)
        async with runtime.sessions.begin() as session:
            await session.execute(
                text("UPDATE runs SET status = 'Cancelled', finished_at = now(), owner = NULL, lease_until = NULL")
            )
        await worker.says("run stopped")
        assert await waiting_queries(runtime) == 0
        await release()
        # The slot is free for what comes next.
        assert (await ended(runtime, await add_run(runtime))).status == RunStatus.COMPLETED
    run = await read_run(runtime, run_id)
    assert (run.status, run.epoch, run.records_completed) == (RunStatus.CANCELLED, 1, None)
    assert await contents(stack, prefix) == {}


async def test_a_worker_that_cannot_start_says_why_in_one_line(workers: Workers) -> None:
    async with workers.start(redis_url="redis://:sesame@127.0.0.1:1/0") as worker:
        await until(lambda: worker.process.returncode is not None)
    assert worker.process.returncode == 1
    [line] = worker.log.splitlines()
    assert "Redis at 127.0.0.1:1 does not answer" in line
    assert "sesame" not in line


async def test_a_setting_that_is_wrong_is_named_without_its_value(workers: Workers) -> None:
    async with workers.start(worker_slots="sesame") as worker:
        await until(lambda: worker.process.returncode is not None)
    assert worker.process.returncode == 1
    [line] = worker.log.splitlines()
    assert "BATCH_EXPORTS_WORKER_SLOTS" in line
    assert "sesame" not in line
