"""The database and the model side by side, and what holds of them after every step."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar
from uuid import UUID

import structlog
from hypothesis.stateful import RuleBasedStateMachine, invariant

from app.runs.claim import Claim
from tests.factories import utc
from tests.faults import facts
from tests.faults.model import BackfillModel, ClaimModel, Model
from tests.faults.world import Row, World
from tests.faults.writes import expected, written

T = TypeVar("T")
START = utc(2026, 6, 1, 12, 5)


class Machine(RuleBasedStateMachine):
    """Without any rules. An error in the process's own log fails the step that made it."""

    def __init__(self, runner: asyncio.Runner, world: World) -> None:
        super().__init__()
        self._runner = runner
        self._world = world
        self._model = Model(START)
        world.clock.now = START
        self._claims: list[tuple[Claim, ClaimModel]] = []
        self._epochs: dict[UUID, int] = {}
        self._ended: dict[UUID, Row] = {}
        self._changed = True

    def teardown(self) -> None:
        self._do(self._world.empty())

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        self._changed = True
        with structlog.testing.capture_logs() as logs:
            done = self._runner.run(work)
        assert not [entry for entry in logs if entry["log_level"] == "error"]
        return done

    def _note(self, claim: Claim, worker: str) -> None:
        [run] = [run for run in self._model.runs if run.id == claim.run_id]
        taken = self._model.claim(run, worker)
        assert (claim.epoch, claim.attempt, claim.start, claim.end) == (run.epoch, run.attempt, run.start, run.end)
        self._claims.append((claim, taken))

    def _write(self, what: str, claim: Claim, taken: ClaimModel) -> None:
        async def write() -> bool | None:
            async with self._world.claims() as claims:
                return await written(claims, what, claim)

        assert self._do(write()) == expected(self._model, what, taken), what

    def _adopt(self, backfill: BackfillModel) -> None:
        """The one backfill in the database that the model did not know."""
        _, rows, _ = self._do(self._world.read())
        [new] = set(rows) - {known.id for known in self._model.backfills}
        backfill.id = new
        self._model.backfills.append(backfill)

    @invariant()
    def the_database_equals_the_model(self, timed_out: bool = False) -> None:
        if not self._changed:
            return
        exports, backfills, runs = self._do(self._world.read())
        self._changed = False
        self._take_over(runs)
        if timed_out:
            # The tick names what is ready before it looks for backfills whose time is over.
            self._ready = self._model.claimable()
            self._model.time_out()
        assert {one.id: facts.of_export(one) for one in self._model.exports} == {
            one: facts.of_export_row(row) for one, row in exports.items()
        }
        assert {one.id: facts.of_backfill(one) for one in self._model.backfills} == {
            one: facts.of_backfill_row(row) for one, row in backfills.items()
        }
        assert {one.key: facts.of_run(one) for one in self._model.runs} == {
            facts.key_of(row): facts.of_run_row(row) for row in runs.values()
        }
        facts.every_due_interval_has_one_run(exports, runs)
        facts.a_window_is_held_once(runs)
        facts.backfills_go_window_by_window(backfills, runs)
        assert not any(exports[UUID(row["export_id"])]["deleted"] and facts.unfinished(row) for row in runs.values())
        for run_id, row in runs.items():
            assert row["epoch"] >= self._epochs.get(run_id, 0)
            self._epochs[run_id] = row["epoch"]
            if not facts.unfinished(row) and row["status"] != "Cancelled":
                assert self._ended.setdefault(run_id, row) == row

    def _take_over(self, rows: dict[UUID, Row]) -> None:
        """What only the database knows of a run: its id, and since when it is ready."""
        by_key = {facts.key_of(row): row for row in rows.values()}
        for run in self._model.runs:
            if run.key in by_key and (run.id is None or run.not_before is None):
                run.id = UUID(by_key[run.key]["id"])
                run.not_before = facts.moment(by_key[run.key]["not_before"])
