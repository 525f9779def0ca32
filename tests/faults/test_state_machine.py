"""Whatever people, ticks and workers do to exports, runs and backfills, in any order: the database equals a model."""

import asyncio
from collections import Counter
from collections.abc import Coroutine, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any, TypeVar
from uuid import UUID

import pytest
import structlog
from hypothesis import HealthCheck, Phase
from hypothesis import settings as examples
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from app.errors import Misconfigured, Transient
from app.models import RunStatus
from app.pipeline.execute import Executor
from app.runs.claims import Claim, ClaimRepository
from app.settings import Settings
from tests.factories import utc
from tests.faults.model import (
    EPOCH,
    EVENTS_EVERY,
    LENGTHS,
    UNFINISHED,
    BackfillModel,
    ClaimModel,
    ExportModel,
    Lease,
    Model,
    RunModel,
)
from tests.faults.world import Row, World, open_world

T = TypeVar("T")
START = utc(2026, 6, 1, 12, 5)
LATER = utc(2030, 1, 1)
TTL = timedelta(hours=1)
"""Leases lapse when the machine says so, never by themselves."""
MOST_EXPORTS = 3
WORKERS = ("A", "B", "C")
WRITES = ("extend", "keep", "complete", "fail", "retry at once", "retry later", "hand back", "release")
MINUTES = st.sampled_from([5, 20, 60, 75])
picks = st.integers(0, 999)
"""One of whatever there is; the same number of choices in every state keeps examples repeatable."""


class Protocol(RuleBasedStateMachine):
    """Every rule does a thing to the database and to the model, and holds the answers against each other."""

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

    @rule(worker=st.sampled_from(WORKERS))
    def claim(self, worker: str) -> None:
        self._claimed(worker)

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

    def _note(self, claim: Claim, worker: str) -> None:
        [run] = [run for run in self._model.runs if run.id == claim.run_id]
        taken = self._model.claim(run, worker)
        assert (claim.epoch, claim.attempt, claim.start, claim.end) == (run.epoch, run.attempt, run.start, run.end)
        self._claims.append((claim, taken))

    @precondition(lambda self: self._claims)
    @rule(what=st.sampled_from(WRITES), pick=picks)
    def write(self, what: str, pick: int) -> None:
        """One of the last claims, which are likely to be good."""
        self._write(what, *self._claims[-1 - pick % min(3, len(self._claims))])

    @precondition(lambda self: self._claims)
    @rule(what=st.sampled_from(WRITES), pick=picks)
    def zombie(self, what: str, pick: int) -> None:
        """Any claim that there ever was."""
        self._write(what, *_one(self._claims, pick))

    def _write(self, what: str, claim: Claim, taken: ClaimModel) -> None:
        async def write() -> bool | None:
            async with self._world.claims() as claims:
                return await _written(claims, what, claim)

        assert self._do(write()) == self._expected(what, taken), what

    def _expected(self, what: str, taken: ClaimModel) -> bool | None:
        match what:
            case "extend":
                return self._model.extend(taken)
            case "keep":
                return self._model.keep(taken)
            case "complete":
                return self._model.finish(taken, "Completed")
            case "fail":
                return self._model.finish(taken, "Failed")
            case "retry at once" | "retry later":
                return self._model.retry_later(taken, waiting=what == "retry later")
            case "hand back":
                return self._model.hand_back(taken)
            case _:
                self._model.release(taken)
                return None

    @precondition(lambda self: any(taken.run.lease is Lease.HELD for _, taken in self._claims))
    @rule(pick=picks, what=st.sampled_from((*WRITES, "nothing")))
    def worker_is_late(self, pick: int, what: str) -> None:
        """Its lease lapses; then it writes after all, or is never heard of again."""
        holding = [(claim, taken) for claim, taken in self._claims if self._model.keep(taken)]
        claim, taken = _one(holding, pick)
        past = "UPDATE runs SET lease_until = clock_timestamp() - interval '1 second' WHERE id = :id"
        self._do(self._world.execute(past, id=claim.run_id))
        taken.run.lease = Lease.LAPSED
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

    def _adopt(self, backfill: BackfillModel) -> None:
        """The one backfill in the database that the model did not know."""
        _, rows, _ = self._do(self._world.read())
        [new] = set(rows) - {known.id for known in self._model.backfills}
        backfill.id = new
        self._model.backfills.append(backfill)

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
        expected = self._model.advance(backfill)
        self.the_database_equals_the_model()
        assert made == (expected.id if expected is not None else None)

    @precondition(lambda self: self._model.backfills)
    @rule(pick=picks)
    def cancel_backfill(self, pick: int) -> None:
        backfill = _one(self._model.backfills, pick)
        answer = self._do(self._world.post(backfill.export, f"backfills/{backfill.id}/cancel"))
        assert answer.status_code == (200 if self._model.cancel_backfill(backfill) else 400), answer.text

    # What holds at every moment.

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
        assert {one.id: _export(one) for one in self._model.exports} == {
            one: _export_row(row) for one, row in exports.items()
        }
        assert {one.id: _backfill(one) for one in self._model.backfills} == {
            one: _backfill_row(row) for one, row in backfills.items()
        }
        assert {one.key: _run(one) for one in self._model.runs} == {_key(row): _run_row(row) for row in runs.values()}
        _every_due_interval_has_one_run(exports, runs)
        _a_window_is_held_once(runs)
        _backfills_go_window_by_window(backfills, runs)
        assert not any(exports[UUID(row["export_id"])]["deleted"] and _unfinished(row) for row in runs.values())
        for run_id, row in runs.items():
            assert row["epoch"] >= self._epochs.get(run_id, 0)
            self._epochs[run_id] = row["epoch"]
            if not _unfinished(row) and row["status"] != "Cancelled":
                assert self._ended.setdefault(run_id, row) == row

    def _take_over(self, rows: dict[UUID, Row]) -> None:
        """What only the database knows of a run: its id, and since when it is ready."""
        by_key = {_key(row): row for row in rows.values()}
        for run in self._model.runs:
            if run.key in by_key and (run.id is None or run.not_before is None):
                run.id = UUID(by_key[run.key]["id"])
                run.not_before = _moment(by_key[run.key]["not_before"])


def _one(things: list[T], pick: int) -> T:
    return things[pick % len(things)]


async def _written(claims: ClaimRepository, what: str, claim: Claim) -> bool | None:
    match what:
        case "extend":
            return await claims.extend(claim)
        case "keep":
            return await claims.keep(claim)
        case "complete":
            return await claims.complete(claim, 1, 1)
        case "fail":
            return await claims.fail(claim, RunStatus.FAILED, Misconfigured("no"))
        case "retry at once":
            return await claims.retry_later(claim, Transient("reset"), timedelta(0), LATER)
        case "retry later":
            return await claims.retry_later(claim, Transient("reset"), TTL, LATER)
        case "hand back":
            return await claims.hand_back(claim)
        case _:
            await claims.release(claim)
            return None


# The same few facts, of the model and of the rows.


def _moment(text: str | None) -> datetime:
    assert text is not None
    return datetime.fromisoformat(text)


def _maybe(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _unfinished(row: Row) -> bool:
    return row["status"] in UNFINISHED


def _export(export: ExportModel) -> tuple[object, ...]:
    return export.next_start, export.accounted_from, export.paused, export.deleted


def _export_row(row: Row) -> tuple[object, ...]:
    return _moment(row["next_start"]), _moment(row["accounted_from"]), row["paused"], row["deleted"]


def _backfill(backfill: BackfillModel) -> tuple[object, ...]:
    return backfill.start, backfill.end, backfill.adjusted, backfill.cursor, backfill.retry_of, backfill.status


def _backfill_row(row: Row) -> tuple[object, ...]:
    moments = (_maybe(row[name]) for name in ("start_at", "end_at", "adjusted_start_at", "next_start"))
    return *moments, row["retry_of"] and UUID(row["retry_of"]), row["status"]


def _run(run: RunModel) -> tuple[object, ...]:
    ended = not run.unfinished
    return run.id, run.end, run.status, run.epoch, run.attempt, run.owner, run.lease, run.not_before, ended


def _run_row(row: Row) -> tuple[object, ...]:
    lease = Lease.NONE if row["lease_until"] is None else Lease.LAPSED if row["lapsed"] else Lease.HELD
    moments = _moment(row["data_interval_end"]), row["status"], row["epoch"], row["attempt"], row["owner"], lease
    return UUID(row["id"]), *moments, _moment(row["not_before"]), row["finished_at"] is not None


def _key(row: Row) -> tuple[UUID, UUID | None, datetime]:
    return UUID(row["export_id"]), row["backfill_id"] and UUID(row["backfill_id"]), _moment(row["data_interval_start"])


# What must hold whatever the model thinks.


def _every_due_interval_has_one_run(exports: dict[UUID, Row], runs: dict[UUID, Row]) -> None:
    """Between the first accounted window and the next one, the schedule's own runs tile time."""
    for export_id, export in exports.items():
        scheduled = sorted(
            (_moment(row["data_interval_start"]), _moment(row["data_interval_end"]))
            for row in runs.values()
            if UUID(row["export_id"]) == export_id and row["backfill_id"] is None
        )
        first, last = _moment(export["accounted_from"]), _moment(export["next_start"])
        accounted = [window for window in scheduled if window[0] >= first]
        assert sum((end - start for start, end in accounted), timedelta(0)) == last - first
        assert all(end - start == LENGTHS[export["interval"]] for start, end in accounted)
        assert all(before[1] <= after[0] for before, after in pairwise(scheduled))


def _a_window_is_held_once(runs: dict[UUID, Row]) -> None:
    held = Counter(
        (row["export_id"], row["data_interval_start"], row["data_interval_end"])
        for row in runs.values()
        if row["lease_until"] is not None
    )
    assert max(held.values(), default=1) == 1


def _backfills_go_window_by_window(backfills: dict[UUID, Row], runs: dict[UUID, Row]) -> None:
    for backfill_id in backfills:
        own = [row for row in runs.values() if row["backfill_id"] == str(backfill_id)]
        own.sort(key=lambda row: _moment(row["data_interval_start"]))
        assert all(before["data_interval_end"] == after["data_interval_start"] for before, after in pairwise(own))
        # Until one has ended there is none after it.
        assert not any(_unfinished(row) for row in own[:-1])
        assert all(
            _moment(before["finished_at"]) <= _moment(after["created_at"]) for before, after in pairwise(own)
        ) or any(row["status"] == "Cancelled" for row in own)


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
                max_examples=20,
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
