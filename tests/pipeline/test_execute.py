"""One attempt at a run, and what becomes of its row, whatever fails at which moment."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.backfills.repository import BackfillRepository
from app.db.engine import Sessions
from app.destinations.base import Fence, Target, Written
from app.destinations.noop import NoOp
from app.errors import DataError, Misconfigured, Transient
from app.logs.lines import Line
from app.models import Export, Run, RunStatus
from app.pipeline import execute as execute_module
from app.pipeline.deliver import Delivered
from app.pipeline.execute import Executor
from app.runs.claims import Claim, ClaimRepository
from app.runs.repository import RunRepository
from app.runtime import Runtime
from app.scheduling.intervals import Window
from app.settings import Settings
from app.streams import Batches
from tests.factories import add_event, make_export, utc

START = utc(2026, 1, 1)
WINDOW = Window(START, utc(2026, 1, 1, 1))
Deliver = Callable[[Runtime, Claim, Fence], Awaitable[Delivered]]


class Unreliable:
    """Sessions that commit, and then, so often as told, lose the answer."""

    def __init__(self, sessions: Sessions, failures: int) -> None:
        self._sessions = sessions
        self.failures = failures

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSession]:
        async with self._sessions.begin() as session:
            yield session
        if self.failures:
            self.failures -= 1
            raise ConnectionResetError("the answer to the commit was lost")


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute_module, "RECORD_RETRY_WAIT", 0.01)


def hurried(settings: Settings, **values: Any) -> Settings:
    usual = {"retry_backoff_initial": timedelta(hours=1), "heartbeat_interval": timedelta(milliseconds=20)}
    return settings.model_copy(update={**usual, **values})


async def claimed(runtime: Runtime, events: int = 3) -> tuple[Executor, Claim]:
    runtime = replace(runtime, settings=hurried(runtime.settings))
    async with runtime.sessions.begin() as session:
        export = await make_export(session, runtime.cipher)
        for minute in range(events):
            await add_event(session, export.project_id, START + timedelta(minutes=minute))
        await ClaimRepository(session).add(export, [WINDOW], timedelta(0))
    executor = Executor(runtime, "worker-1")
    claim = await executor.claim()
    assert claim is not None
    return executor, claim


def losing_answers(executor: Executor, failures: int) -> Executor:
    sessions = Unreliable(executor.runtime.sessions, failures)
    return replace(executor, runtime=replace(executor.runtime, sessions=cast(Sessions, sessions)))


def deliver_with(monkeypatch: pytest.MonkeyPatch, deliver: Deliver) -> None:
    monkeypatch.setattr(execute_module, "deliver", deliver)


def failing_with(error: Exception) -> Deliver:
    async def deliver(runtime: Runtime, claim: Claim, fence: Fence) -> Delivered:
        raise error

    return deliver


async def row(executor: Executor, run_id: UUID) -> Run:
    async with executor.runtime.sessions() as session:
        return await session.get_one(Run, run_id)


@dataclass
class Kept:
    """A log that keeps its lines."""

    lines: list[Line] = field(default_factory=list)

    def write(self, line: Line) -> None:
        self.lines.append(line)


async def told(executor: Executor, claim: Claim) -> list[tuple[str, str]]:
    """Level and message of what an execution writes for the people whose export it is."""
    log = Kept()
    await replace(executor, logs=log).execute(claim)
    assert {(line.export_id, line.run_id) for line in log.lines} == {(claim.export_id, claim.run_id)}
    return [(line.level.value, line.message) for line in log.lines]


def completed_so_far() -> float:
    labels = {"status": "Completed", "destination": "NoOp"}
    return REGISTRY.get_sample_value("batch_exports_runs_finished_total", labels) or 0


async def test_a_run_is_delivered_and_recorded(runtime: Runtime) -> None:
    executor, claim = await claimed(runtime)
    await executor.execute(claim)
    run = await row(executor, claim.run_id)
    assert (run.status, run.records_completed, run.attempt, run.owner) == (RunStatus.COMPLETED, 3, 0, None)


async def test_a_lost_answer_to_completing_is_read_from_the_row(runtime: Runtime) -> None:
    executor, claim = await claimed(runtime)
    before = completed_so_far()
    await losing_answers(executor, 1).execute(claim)
    assert (await row(executor, claim.run_id)).status == RunStatus.COMPLETED
    assert completed_so_far() == before + 1


async def test_a_lost_answer_to_a_failed_attempt_counts_it_once(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor, claim = await claimed(runtime)
    deliver_with(monkeypatch, failing_with(Transient("reset")))
    await losing_answers(executor, 2).execute(claim)
    run = await row(executor, claim.run_id)
    assert (run.status, run.attempt, run.latest_error) == (RunStatus.RUNNING, 1, "Transient: reset")


async def test_a_lost_answer_to_failing_for_good_is_read_from_the_row(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor, claim = await claimed(runtime)
    deliver_with(monkeypatch, failing_with(DataError("no such column")))
    await losing_answers(executor, 1).execute(claim)
    run = await row(executor, claim.run_id)
    assert (run.status, run.latest_error) == (RunStatus.FAILED, "DataError: no such column")


async def test_an_outcome_that_cannot_be_recorded_is_given_up_with_the_lease(runtime: Runtime) -> None:
    executor, claim = await claimed(runtime)

    class Away:
        def begin(self) -> Any:
            raise ConnectionRefusedError

    away = replace(executor.runtime, sessions=cast(Sessions, Away()))
    async with asyncio.timeout(10):
        await replace(executor, runtime=away).execute(replace(claim, lease_ttl=timedelta(milliseconds=50)))
    assert (await row(executor, claim.run_id)).status == RunStatus.RUNNING


async def test_an_unexpected_error_is_a_defect_whose_text_stays_in_the_log(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor, claim = await claimed(runtime)
    deliver_with(monkeypatch, failing_with(KeyError("sesame")))
    await executor.execute(claim)
    run = await row(executor, claim.run_id)
    assert (run.attempt, run.error_class) == (1, "defect")
    assert run.latest_error is not None
    assert "KeyError" in run.latest_error
    assert "sesame" not in run.latest_error


async def test_a_heart_that_fails_unexpectedly_loses_the_lease_and_nothing_else(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor, claim = await claimed(runtime)

    async def extend(*_: Any) -> bool:
        raise RuntimeError("a bug")

    async def deliver(runtime: Runtime, claim: Claim, fence: Fence) -> Delivered:
        await asyncio.Event().wait()
        raise AssertionError

    deliver_with(monkeypatch, deliver)
    monkeypatch.setattr(ClaimRepository, "extend", extend)
    async with asyncio.timeout(10):
        await executor.execute(replace(claim, lease_ttl=timedelta(milliseconds=200)))
    assert (await row(executor, claim.run_id)).attempt == 0


async def test_a_cancelled_attempt_is_handed_back(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    executor, claim = await claimed(runtime)
    begun = asyncio.Event()

    async def deliver(runtime: Runtime, claim: Claim, fence: Fence) -> Delivered:
        begun.set()
        await asyncio.Event().wait()
        raise AssertionError

    deliver_with(monkeypatch, deliver)
    execution = asyncio.create_task(executor.execute(claim))
    await begun.wait()
    execution.cancel()
    await asyncio.gather(execution, return_exceptions=True)
    assert execution.cancelled()
    run = await row(executor, claim.run_id)
    assert (run.status, run.owner, run.lease_until, run.attempt) == (RunStatus.RUNNING, None, None, 0)


async def test_what_is_done_is_recorded_though_the_worker_is_told_to_end(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor, claim = await claimed(runtime)
    recording, go = asyncio.Event(), asyncio.Event()
    complete = ClaimRepository.complete

    async def slow(self: ClaimRepository, claim: Claim, rows: int, size: int, sanitised: int = 0) -> bool:
        recording.set()
        await go.wait()
        return await complete(self, claim, rows, size, sanitised)

    monkeypatch.setattr(ClaimRepository, "complete", slow)
    execution = asyncio.create_task(executor.execute(claim))
    await recording.wait()
    execution.cancel()
    go.set()
    await asyncio.gather(execution, return_exceptions=True)
    assert execution.cancelled()
    assert (await row(executor, claim.run_id)).status == RunStatus.COMPLETED


async def test_a_run_cancelled_before_its_outcome_is_recorded_stays_cancelled(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor, claim = await claimed(runtime)

    async def deliver(runtime: Runtime, claim: Claim, fence: Fence) -> Delivered:
        async with runtime.sessions.begin() as session:
            await session.execute(text("UPDATE runs SET status = 'Cancelled'"))
        return Delivered(Written(1, 1))

    deliver_with(monkeypatch, deliver)
    before = completed_so_far()
    await losing_answers(executor, 1).execute(claim)
    assert (await row(executor, claim.run_id)).status == RunStatus.CANCELLED
    assert completed_so_far() == before


RANGE = "2026-01-01T00:00:00Z to 2026-01-01T01:00:00Z"


@pytest.mark.parametrize(
    ("events", "message"),
    [
        (3, f"Done: 3 records exported for {RANGE}"),
        (1, f"Done: 1 record exported for {RANGE}"),
        (0, f"Done early: there is no data to export for {RANGE}"),
    ],
)
async def test_the_log_tells_of_a_run_that_is_done(runtime: Runtime, events: int, message: str) -> None:
    executor, claim = await claimed(runtime, events)
    assert await told(executor, claim) == [("INFO", f"Exporting {RANGE}"), ("INFO", message)]


async def test_the_log_tells_why_a_run_failed(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    executor, claim = await claimed(runtime)
    deliver_with(monkeypatch, failing_with(DataError("no such column")))
    [_, failure] = await told(executor, claim)
    assert failure == (
        "ERROR",
        f"Failed for {RANGE} with an error that another attempt would not mend. DataError: no such column",
    )


async def test_the_log_tells_that_an_attempt_will_be_repeated_and_when_it_will_not(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.random", lambda: 0.5)
    executor, claim = await claimed(runtime)
    deliver_with(monkeypatch, failing_with(Transient("reset")))
    [_, failure] = await told(executor, claim)
    assert failure == (
        "WARNING",
        f"Attempt 1 for {RANGE} failed and will be repeated in 300 s. Transient: reset",
    )
    async with runtime.sessions.begin() as session:
        await session.execute(text("UPDATE runs SET not_before = now(), attempt = 9, retry_until = now()"))
    again = await executor.claim()
    assert again is not None
    assert await told(executor, again) == [
        ("INFO", f"Exporting {RANGE} (attempt 10)"),
        ("ERROR", f"Failed for {RANGE} after 10 attempts. Transient: reset"),
    ]


async def test_the_log_holds_no_text_of_an_unexpected_error(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    executor, claim = await claimed(runtime)
    deliver_with(monkeypatch, failing_with(KeyError("sesame")))
    assert "sesame" not in str(await told(executor, claim))


async def test_the_log_says_nothing_of_an_outcome_that_was_not_recorded(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor, claim = await claimed(runtime)

    async def deliver(runtime: Runtime, claim: Claim, fence: Fence) -> Delivered:
        async with runtime.sessions.begin() as session:
            await session.execute(text("UPDATE runs SET status = 'Cancelled'"))
        return Delivered(Written(1, 1))

    deliver_with(monkeypatch, deliver)
    assert await told(executor, claim) == [("INFO", f"Exporting {RANGE}")]


async def test_an_attempt_that_takes_too_long_times_the_run_out(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor, claim = await claimed(runtime)
    ended = asyncio.Event()

    async def deliver(runtime: Runtime, claim: Claim, fence: Fence) -> Delivered:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        raise AssertionError

    deliver_with(monkeypatch, deliver)
    short = executor.runtime.settings.model_copy(update={"run_time_limit": timedelta(milliseconds=50)})
    await replace(executor, runtime=replace(executor.runtime, settings=short)).execute(claim)
    run = await row(executor, claim.run_id)
    assert ended.is_set()
    assert (run.status, run.lease_until) == (RunStatus.TIMED_OUT, None)
    assert run.latest_error == (
        "TimedOut: the attempt took longer than 0:00:00.050000, which is the limit for this export's interval"
    )


async def test_failed_attempts_are_repeated_until_the_limit_counted_from_the_first(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor, claim = await claimed(runtime)
    deliver_with(monkeypatch, failing_with(Transient("reset")))
    monkeypatch.setattr("random.random", lambda: 0.0)
    await executor.execute(claim)
    first = await row(executor, claim.run_id)
    assert (first.status, first.retry_until) == (RunStatus.RUNNING, claim.claimed_at + timedelta(hours=6))
    again = await executor.claim()
    assert again is not None
    await executor.execute(replace(again, claimed_at=claim.claimed_at + timedelta(hours=6)))
    last = await row(executor, claim.run_id)
    assert (last.status, last.attempt, last.retry_until) == (RunStatus.FAILED_RETRYABLE, 1, first.retry_until)


async def test_time_without_a_worker_ends_no_run(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    """All workers were away for two days, in the middle of the first attempt."""
    executor, claim = await claimed(runtime)
    await executor.hand_back(claim)
    again = await executor.claim()
    assert again is not None
    late = replace(again, claimed_at=claim.claimed_at + timedelta(days=2))
    deliver_with(monkeypatch, failing_with(Transient("reset")))
    await executor.execute(late)
    run = await row(executor, claim.run_id)
    assert (run.status, run.retry_until) == (RunStatus.RUNNING, late.claimed_at + timedelta(hours=6))


async def test_another_kind_of_error_is_counted_anew(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    executor, claim = await claimed(runtime)
    monkeypatch.setattr("random.random", lambda: 0.0)
    counted = []
    for error in (Misconfigured("a"), Misconfigured("b"), Transient("c"), Misconfigured("d")):
        deliver_with(monkeypatch, failing_with(error))
        await executor.execute(claim)
        counted.append((await row(executor, claim.run_id)).failures_alike)
        async with runtime.sessions.begin() as session:
            await session.execute(text("UPDATE runs SET not_before = now()"))
        again = await executor.claim()
        assert again is not None
        claim = again
    assert counted == [1, 2, 1, 1]


async def test_a_throttled_destination_is_approached_gently(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    executor, claim = await claimed(runtime)
    targets: list[Target] = []
    write = NoOp.write

    async def watched(self: NoOp, batches: Batches, target: Target) -> Written:
        targets.append(target)
        return await write(self, batches, target)

    monkeypatch.setattr(NoOp, "write", watched)
    await executor.execute(replace(claim, error_class="throttled"))
    assert [target.gently for target in targets] == [True]


async def test_the_window_of_a_cancelled_run_is_free_once_its_worker_has_stopped(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor, claim = await claimed(runtime)
    begun, clean_up = asyncio.Event(), asyncio.Event()

    async def deliver(runtime: Runtime, claim: Claim, fence: Fence) -> Delivered:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            # As a destination does: what others see is taken back only while nobody else can be at it.
            assert await fence.owns()
            await clean_up.wait()
        raise AssertionError

    deliver_with(monkeypatch, deliver)
    execution = asyncio.create_task(executor.execute(claim))
    await begun.wait()
    async with runtime.sessions.begin() as session:
        await RunRepository(session).cancel(claim.run_id, runtime.clock())
        backfill_id = await BackfillRepository(session).add_retry(
            await session.get_one(Run, claim.run_id), runtime.clock()
        )
        export = await session.get_one(Export, claim.export_id)
        await ClaimRepository(session).add(export, [WINDOW], timedelta(0), backfill_id=backfill_id)
    assert await executor.claim() is None
    clean_up.set()
    await execution
    run = await row(executor, claim.run_id)
    assert (run.status, run.lease_until, run.owner) == (RunStatus.CANCELLED, None, None)
    retry = await executor.claim()
    assert retry is not None
    assert retry.run_id != claim.run_id
