"""Claims, leases and epochs: the mistakes that others have made, each as a test."""

import asyncio
from datetime import timedelta

from app.errors import Misconfigured, Transient
from app.models import Run, RunStatus
from app.runs.claims import ClaimRepository
from app.runtime import Runtime
from app.scheduling.intervals import Window
from tests.factories import make_backfill, make_export, utc
from tests.runs.claiming import LATER, TTL, WINDOW, add_run, claim, claimed, claims, lapse, row


async def test_a_claim_takes_the_run_and_raises_its_epoch(runtime: Runtime) -> None:
    [run_id] = await add_run(runtime)
    taken = await claim(runtime)
    assert taken is not None
    assert (taken.run_id, taken.epoch, taken.attempt) == (run_id, 1, 0)
    assert (taken.start, taken.end, taken.destination_type) == (WINDOW.start, WINDOW.end, "NoOp")
    run = await row(runtime, run_id)
    assert (run.status, run.owner) == (RunStatus.RUNNING, "worker-1")


async def test_second_claim_loses(runtime: Runtime) -> None:
    await claimed(runtime)
    assert await claim(runtime, "worker-2") is None


async def test_concurrent_claims_share_out_the_runs(runtime: Runtime) -> None:
    ids = await add_run(runtime, *(Window(utc(2026, 1, 1, hour), utc(2026, 1, 1, hour + 1)) for hour in range(5)))
    taken = await asyncio.gather(*(claim(runtime, f"worker-{n}") for n in range(8)))
    assert sorted(one.run_id for one in taken if one is not None) == sorted(ids)


async def test_a_run_is_not_claimed_before_it_has_settled(runtime: Runtime) -> None:
    await add_run(runtime, settle=timedelta(days=36500))
    assert await claim(runtime) is None


async def test_a_lapsed_lease_passes_on_with_a_higher_epoch(runtime: Runtime) -> None:
    first = await claimed(runtime)
    await lapse(runtime, first)
    second = await claim(runtime, "worker-2")
    assert second is not None
    assert (second.run_id, second.epoch, second.attempt) == (first.run_id, 2, 0)


async def test_a_heartbeat_never_takes_back_a_lapsed_lease(runtime: Runtime) -> None:
    taken = await claimed(runtime)
    async with claims(runtime) as repository:
        assert await repository.extend(taken)
    await lapse(runtime, taken)
    async with claims(runtime) as repository:
        assert not await repository.extend(taken)


async def test_nothing_a_zombie_writes_matches(runtime: Runtime) -> None:
    zombie = await claimed(runtime)
    await lapse(runtime, zombie)
    owner = await claim(runtime, "worker-2")
    assert owner is not None
    async with claims(runtime) as repository:
        assert not await repository.extend(zombie)
        assert not await repository.complete(zombie, 1, 1)
        assert not await repository.fail(zombie, RunStatus.FAILED, Misconfigured("no"))
        assert not await repository.retry_later(zombie, Transient("no"), TTL, LATER)
        assert not await repository.hand_back(zombie)
        assert await repository.complete(owner, 7, 70)
    run = await row(runtime, owner.run_id)
    assert (run.status, run.records_completed, run.bytes_exported, run.epoch) == (RunStatus.COMPLETED, 7, 70, 2)


async def test_epochs_are_never_reset(runtime: Runtime) -> None:
    taken = await claimed(runtime)
    async with claims(runtime) as repository:
        assert await repository.hand_back(taken)
    again = await claim(runtime)
    assert again is not None
    assert again.epoch == 2
    async with claims(runtime) as repository:
        assert await repository.retry_later(again, Transient("reset"), timedelta(0), LATER)
    third = await claim(runtime)
    assert third is not None
    assert (third.epoch, third.attempt) == (3, 1)


async def test_handing_back_is_no_failed_attempt(runtime: Runtime) -> None:
    taken = await claimed(runtime)
    async with claims(runtime) as repository:
        await repository.hand_back(taken)
    run = await row(runtime, taken.run_id)
    assert (run.attempt, run.owner, run.lease_until, run.status) == (0, None, None, RunStatus.RUNNING)


async def test_handing_back_keeps_the_place_in_the_queue(runtime: Runtime) -> None:
    first = await claimed(runtime)
    [second] = await add_run(runtime, Window(utc(2026, 1, 1, 1), utc(2026, 1, 1, 2)))
    async with claims(runtime) as repository:
        await repository.hand_back(first)
        assert await repository.ready(10) == [first.run_id, second]


async def test_a_failed_attempt_that_is_recorded_twice_counts_once(runtime: Runtime) -> None:
    taken = await claimed(runtime)
    async with claims(runtime) as repository:
        assert await repository.retry_later(taken, Transient("reset"), timedelta(hours=1), LATER)
        assert not await repository.retry_later(taken, Transient("reset"), timedelta(hours=1), LATER)
        assert not await repository.hand_back(taken)
        assert await repository.is_recorded(taken, RunStatus.RUNNING, 1)
        assert not await repository.is_recorded(taken, RunStatus.COMPLETED, 1)
    run = await row(runtime, taken.run_id)
    assert run.attempt == 1
    assert await claim(runtime) is None  # the wait has not been cut short


async def test_windows_of_a_backfill_queue_behind_what_is_ready(runtime: Runtime) -> None:
    [scheduled] = await add_run(runtime, Window(utc(2026, 6, 1), utc(2026, 6, 1, 1)))
    async with runtime.sessions.begin() as session:
        export = await make_export(session, runtime.cipher)
        backfill = await make_backfill(session, export)
        old = Window(utc(2020, 1, 1), utc(2020, 1, 1, 1))
        [made] = await ClaimRepository(session).add(export, [old], timedelta(0), backfill_id=backfill.id)
    async with claims(runtime) as repository:
        assert await repository.ready(10) == [scheduled, made]


async def test_a_month_of_five_minute_windows_is_added_at_once(runtime: Runtime) -> None:
    first = utc(2026, 1, 1)
    step = timedelta(minutes=5)
    windows = [Window(first + n * step, first + (n + 1) * step) for n in range(30 * 288)]
    assert len(set(await add_run(runtime, *windows))) == len(windows)


async def test_the_reaper_frees_lapsed_runs_only(runtime: Runtime) -> None:
    lost = await claimed(runtime)
    await lapse(runtime, lost)
    async with claims(runtime) as repository:
        assert await repository.reap() == [lost.run_id]
        assert await repository.reap() == []
        assert await repository.ready(10) == [lost.run_id]
    alive = await claim(runtime)
    assert alive is not None
    async with claims(runtime) as repository:
        assert await repository.reap() == []
    assert (await row(runtime, lost.run_id)).attempt == 0


async def test_a_failed_attempt_is_told_and_waits(runtime: Runtime) -> None:
    taken = await claimed(runtime)
    async with claims(runtime) as repository:
        await repository.retry_later(taken, Transient("connection reset"), timedelta(hours=1), LATER)
    run = await row(runtime, taken.run_id)
    assert (run.latest_error, run.error_class) == ("Transient: connection reset", "transient")
    assert (run.status, run.finished_at) == (RunStatus.RUNNING, None)
    assert await claim(runtime) is None


async def test_completing_clears_the_error_of_an_earlier_attempt(runtime: Runtime) -> None:
    taken = await claimed(runtime)
    async with claims(runtime) as repository:
        await repository.retry_later(taken, Transient("reset"), timedelta(0), LATER)
    again = await claim(runtime)
    assert again is not None
    async with claims(runtime) as repository:
        assert await repository.complete(again, 1, 1)
    run = await row(runtime, taken.run_id)
    assert (run.latest_error, run.error_class) == (None, None)
    assert run.finished_at is not None


async def test_a_cancelled_run_takes_no_more_writes(runtime: Runtime) -> None:
    taken = await claimed(runtime)
    async with runtime.sessions.begin() as session:
        (await session.get_one(Run, taken.run_id)).status = RunStatus.CANCELLED
    async with claims(runtime) as repository:
        assert not await repository.extend(taken)
        assert not await repository.complete(taken, 1, 1)
    assert (await row(runtime, taken.run_id)).status == RunStatus.CANCELLED


async def test_a_window_makes_one_run_however_often_it_is_added(runtime: Runtime) -> None:
    async with runtime.sessions.begin() as session:
        export = await make_export(session, runtime.cipher)

    async def add() -> int:
        async with claims(runtime) as repository:
            return len(await repository.add(export, [WINDOW], timedelta(0)))

    assert sorted(await asyncio.gather(*(add() for _ in range(6)))) == [0, 0, 0, 0, 0, 1]
