"""One attempt at a run, and what becomes of its row, whatever fails at which moment."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any, cast

import pytest

from app.backfills.repository import BackfillRepository
from app.db.engine import Sessions
from app.destinations.base import Fence
from app.errors import DataError, Transient
from app.models import Export, Run, RunStatus
from app.pipeline import execute as execute_module
from app.pipeline.deliver import Delivered
from app.runs.claim import Claim
from app.runs.claims import ClaimRepository
from app.runs.repository import RunRepository
from app.runtime import Runtime
from tests.pipeline.attempts import (
    WINDOW,
    cancelled_meanwhile,
    claimed,
    completed_so_far,
    deliver_with,
    failing_with,
    losing_answers,
    row,
)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(execute_module, "RECORD_RETRY_WAIT", 0.01)


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
    deliver_with(monkeypatch, cancelled_meanwhile)
    before = completed_so_far()
    await losing_answers(executor, 1).execute(claim)
    assert (await row(executor, claim.run_id)).status == RunStatus.CANCELLED
    assert completed_so_far() == before


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
