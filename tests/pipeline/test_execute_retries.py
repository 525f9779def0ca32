"""Attempts that fail, and when they are made again."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text

from app.destinations.base import Fence, Target, Written
from app.destinations.noop import NoOp
from app.errors import Misconfigured, Transient
from app.models import RunStatus
from app.pipeline.deliver import Delivered
from app.runs.claim import Claim
from app.runtime import Runtime
from app.streams import Batches
from tests.pipeline.attempts import claimed, deliver_with, failing_with, row


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
