"""Whatever people, ticks and workers do to exports, runs and backfills, in any order: the database equals a model."""

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, TypeVar
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.pipeline.execute import Executor
from app.runs.claim import Claim
from app.settings import Settings
from tests.faults.machine import START, Machine
from tests.faults.model import (
    EPOCH,
    EVENTS_EVERY,
    LENGTHS,
    BackfillModel,
    ExportModel,
    Lease,
    RunModel,
)
from tests.faults.world import open_world
from tests.faults.writes import WRITES

T = TypeVar("T")
TTL = timedelta(hours=1)
"""Leases lapse when the machine says so, never by themselves."""
MOST_EXPORTS = 3
WORKERS = ("A", "B", "C")
MINUTES = st.sampled_from([5, 20, 60, 75])
picks = st.integers(0, 999)
"""One of whatever there is; the same number of choices in every state keeps examples repeatable."""


class Protocol(Machine):
    """Every rule does a thing to the database and to the model, and holds the answers against each other."""

    # Exports and time.

    @initialize()
    def begin(self) -> None:
        for interval in LENGTHS:
            self.create(interval)
        self.tick(75, 1)

    @precondition(lambda self: len(self._model.exports) < MOST_EXPORTS)
    @rule(interval=st.sampled_from(sorted(LENGTHS)))
    def create(self, interval: str) -> None:
        # Ids in order, and jitter drawn from them: what is claimed first is the same each time an example is run.
        export = self._model.add_export(UUID(int=len(self._model.exports) + 1), interval)
        self._do(self._world.add_export(export))

    @rule(minutes=MINUTES)
    def time_passes(self, minutes: int) -> None:
        self._model.now += timedelta(minutes=minutes)
        self._world.clock.now = self._model.now

    @rule(minutes=MINUTES, schedulers=st.integers(1, 3))
    def tick(self, minutes: int, schedulers: int) -> None:
        self.time_passes(minutes)

        async def tick() -> list[Any]:
            ticker = self._world.ticker
            return await asyncio.gather(*(ticker.tick() for _ in range(schedulers)))

        ticked = self._do(tick())
        made, freed = self._model.tick()
        self.the_database_equals_the_model(timed_out=True)
        assert sum(one.created for one in ticked) == made
        assert sum(one.reaped for one in ticked) == freed
        if schedulers == 1:
            assert list(ticked[0].runs) == [run.id for run in self._ready]
            assert set(ticked[0].backfills) == {backfill.id for backfill in self._model.idle()}

    @rule(pick=picks, what=st.sampled_from(["pause", "unpause", "unpause and backfill", "delete"]))
    def change_export(self, pick: int, what: str) -> None:
        export = _one(self._model.exports, pick)
        match what:
            case "pause" if self._answers(export, "pause"):
                self._model.pause(export)
            case "unpause" if self._answers(export, "unpause"):
                self._model.unpause(export)
            case "unpause and backfill" if self._answers(export, "unpause", {"backfill": True}):
                if (missed := self._model.unpause(export)) is not None:
                    start, adjusted = missed
                    self._adopt(BackfillModel(UUID(int=0), export, start, self._model.now, self._model.now, adjusted))
            # Rarely, or there would soon be nothing left to do anything to.
            case "delete" if pick % 5 == 0:
                answer = self._do(self._world.api.delete(f"/batch_exports/{export.id}/"))
                assert answer.status_code == (404 if export.deleted else 204)
                self._model.delete(export)

    def _answers(self, export: ExportModel, path: str, body: object = None) -> bool:
        """Ask something of an export; False if it is deleted, and the answer was that."""
        answer = self._do(self._world.post(export, path, body))
        assert answer.status_code == (404 if export.deleted else 200), answer.text
        return not export.deleted

    # Workers.

    @rule(worker=st.sampled_from(WORKERS), runs=st.sampled_from([1, 2, 20]))
    def claim(self, worker: str, runs: int) -> None:
        for _ in range(runs):
            if not self._claimed(worker):
                break
            self.the_database_equals_the_model()

    @rule(worker=st.sampled_from(WORKERS), runs=st.integers(1, 6))
    def work_well(self, worker: str, runs: int) -> None:
        """Run after run, to its end."""
        for _ in range(runs):
            if self._claimed(worker):
                self._write("complete", *self._claims[-1])
                self.the_database_equals_the_model()

    def _claimed(self, worker: str) -> bool:
        claim = self._do(self._claim(worker))
        first = [run.id for run in self._model.claimable()[:1]]
        assert first == ([claim.run_id] if claim is not None else [])
        if claim is not None:
            self._note(claim, worker)
        return claim is not None

    @rule()
    def claim_at_once(self) -> None:
        async def race() -> list[Claim | None]:
            return await asyncio.gather(*(Executor(self._world.runtime, worker).claim() for worker in WORKERS))

        for worker, claim in zip(WORKERS, self._do(race()), strict=True):
            if claim is not None:
                assert claim.run_id in [run.id for run in self._model.claimable()]
                self._note(claim, worker)

    async def _claim(self, worker: str) -> Claim | None:
        async with self._world.claims() as claims:
            return await claims.claim(worker, TTL)

    @precondition(lambda self: self._claims)
    @rule(what=st.sampled_from(WRITES), pick=picks, twice=st.booleans())
    def write(self, what: str, pick: int, twice: bool) -> None:
        """By one of the last claims, which are likely to be good. A write whose answer is lost is repeated."""
        claim = self._claims[-1 - pick % min(3, len(self._claims))]
        for _ in range(1 + twice):
            self._write(what, *claim)

    @precondition(lambda self: self._claims)
    @rule(what=st.sampled_from(WRITES), pick=picks)
    def zombie(self, what: str, pick: int) -> None:
        """Any claim that there ever was."""
        self._write(what, *_one(self._claims, pick))

    @precondition(lambda self: any(taken.run.lease is Lease.HELD for _, taken in self._claims))
    @rule(pick=picks, what=st.sampled_from((*WRITES, "nothing")))
    def worker_is_late(self, pick: int, what: str) -> None:
        """Its lease lapses, and no heartbeat takes it back; then it writes after all, or is never heard of again."""
        holding = [(claim, taken) for claim, taken in self._claims if self._model.keep(taken)]
        claim, taken = _one(holding, pick)
        past = "UPDATE runs SET lease_until = clock_timestamp() - interval '1 second' WHERE id = :id"
        self._do(self._world.execute(past, id=claim.run_id))
        taken.run.lease = Lease.LAPSED
        self._write("extend", claim, taken)
        if what != "nothing":
            self._write(what, claim, taken)

    @precondition(lambda self: any(run.waiting and run.unfinished for run in self._model.runs))
    @rule()
    def waits_end(self) -> None:
        waiting = [run for run in self._model.runs if run.waiting and run.unfinished]
        past = "UPDATE runs SET not_before = not_before - interval '2 hours' WHERE id = ANY(:ids)"
        self._do(self._world.execute(past, ids=[run.id for run in waiting]))
        for run in waiting:
            run.waiting, run.not_before = False, None

    # What people do to runs and backfills.

    @precondition(lambda self: self._model.runs)
    @rule(pick=picks, what=st.sampled_from(["cancel", "retry"]))
    def change_run(self, pick: int, what: str) -> None:
        run = _one(self._model.runs, pick)
        answer = self._do(self._world.post(run.export, f"runs/{run.id}/{what}"))
        if what == "cancel":
            assert answer.status_code == (200 if self._model.cancel_run(run) else 400), answer.text
            return
        assert answer.status_code == (404 if run.export.deleted else 201), answer.text
        bounds = self._model.retry(run) if not run.export.deleted else None
        if bounds is not None:
            start, end = bounds
            now = self._model.now
            backfill = BackfillModel(UUID(int=0), run.export, start, end, now, start, end, run.id, "Running")
            self._adopt(backfill)
            self._model.runs.append(RunModel(run.export, start, end, backfill))

    @rule(pick=picks, back=st.integers(1, 16), length=st.integers(1, 16), endless=st.booleans())
    def start_backfill(self, pick: int, back: int, length: int, endless: bool) -> None:
        export = _one(self._model.exports, pick)
        now = self._model.now
        start = now - (now - EPOCH) % EVENTS_EVERY - back * EVENTS_EVERY
        end = None if endless else start + length * EVENTS_EVERY
        body = {"start_at": start.isoformat(), "end_at": end and end.isoformat()}
        answer = self._do(self._world.post(export, "backfills", body))
        if export.deleted:
            assert answer.status_code == 404
        elif not self._model.may_start_backfill():
            assert answer.status_code == 429
        elif end is not None and end > now:
            assert answer.status_code == 400
        else:
            assert answer.status_code == 201, answer.text
            self._adopt(BackfillModel(UUID(int=0), export, start, end, now))

    @precondition(lambda self: self._model.backfills)
    @rule(pick=picks)
    def advance(self, pick: int) -> None:
        """Any backfill there ever was."""
        self._advance(_one(self._model.backfills, pick))

    @rule()
    def advance_all(self) -> None:
        for backfill in list(self._model.idle()):
            self._advance(backfill)

    def _advance(self, backfill: BackfillModel) -> None:
        made = self._do(self._world.advancer.advance(backfill.id))
        wanted = self._model.advance(backfill)
        self.the_database_equals_the_model()
        assert made == (wanted.id if wanted is not None else None)

    @precondition(lambda self: self._model.backfills)
    @rule(pick=picks)
    def cancel_backfill(self, pick: int) -> None:
        backfill = _one(self._model.backfills, pick)
        answer = self._do(self._world.post(backfill.export, f"backfills/{backfill.id}/cancel"))
        assert answer.status_code == (200 if self._model.cancel_backfill(backfill) else 400), answer.text


def _one(things: list[T], pick: int) -> T:
    return things[pick % len(things)]


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as opened:
        yield opened


def test_the_database_equals_a_model_whatever_is_done(runner: asyncio.Runner, settings: Settings) -> None:
    opening = open_world(settings, START)
    world = runner.run(opening.__aenter__())
    try:
        run_state_machine_as_test(
            lambda: Protocol(runner, world),  # type: ignore[arg-type]
            settings=examples(
                max_examples=40,
                stateful_step_count=50,
                derandomize=True,
                database=None,
                deadline=None,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=list(HealthCheck),
            ),
        )
    finally:
        runner.run(opening.__aexit__(None, None, None))
