"""What the execution protocol promises, in plain Python: no database, no clock, no concurrency.

Written from the promises, not from the code: where the two differ, one of them is wrong.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Final
from uuid import UUID

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
EVENTS_EVERY: Final = timedelta(minutes=15)
"""There is one event at each of these moments, so every range that holds one has something to count."""
LENGTHS: Final = {"every 15 minutes": timedelta(minutes=15), "hour": timedelta(hours=1)}
BACKFILL_LIMITS: Final = {"every 15 minutes": timedelta(minutes=40), "hour": timedelta(hours=12)}
"""The least time a backfill may take: two attempts at one run."""
ENDLESS_LIMIT: Final = timedelta(days=31)
UNFINISHED: Final = ("Starting", "Running")


class Lease(Enum):
    NONE = "none"
    HELD = "held"
    LAPSED = "lapsed"


@dataclass(eq=False)
class ExportModel:
    id: UUID
    interval: str
    next_start: datetime
    accounted_from: datetime
    paused: bool = False
    paused_at: datetime | None = None
    deleted: bool = False

    @property
    def length(self) -> timedelta:
        return LENGTHS[self.interval]

    def align(self, moment: datetime) -> datetime:
        return moment - (moment - EPOCH) % self.length


@dataclass(eq=False)
class BackfillModel:
    id: UUID
    export: ExportModel
    start: datetime
    end: datetime | None
    created_at: datetime
    adjusted: datetime | None = None
    cursor: datetime | None = None
    retry_of: UUID | None = None
    status: str = "Starting"

    @property
    def unfinished(self) -> bool:
        return self.status in UNFINISHED


@dataclass(eq=False)
class RunModel:
    """``id`` and ``not_before`` are the database's to say, and are taken from the row once it is there."""

    export: ExportModel
    start: datetime
    end: datetime
    backfill: BackfillModel | None = None
    id: UUID | None = None
    not_before: datetime | None = None
    status: str = "Starting"
    epoch: int = 0
    attempt: int = 0
    owner: str | None = None
    lease: Lease = Lease.NONE
    waiting: bool = False

    @property
    def key(self) -> tuple[UUID, UUID | None, datetime]:
        return self.export.id, self.backfill.id if self.backfill is not None else None, self.start

    @property
    def window(self) -> tuple[UUID, datetime, datetime]:
        return self.export.id, self.start, self.end

    @property
    def unfinished(self) -> bool:
        return self.status in UNFINISHED

    def let_go(self) -> None:
        self.owner, self.lease = None, Lease.NONE

    def end_as(self, status: str) -> None:
        self.status = status
        self.let_go()


@dataclass(frozen=True, eq=False)
class ClaimModel:
    run: RunModel
    epoch: int
    attempt: int

    @property
    def current(self) -> bool:
        """Nobody has claimed the run since, nor freed it, and it has not ended."""
        held = self.run.lease is not Lease.NONE
        return held and self.run.epoch == self.epoch and self.run.status == "Running"


@dataclass
class Model:
    now: datetime
    exports: list[ExportModel] = field(default_factory=list)
    backfills: list[BackfillModel] = field(default_factory=list)
    runs: list[RunModel] = field(default_factory=list)

    def add_export(self, export_id: UUID, interval: str) -> ExportModel:
        start = self.now - (self.now - EPOCH) % LENGTHS[interval]
        export = ExportModel(export_id, interval, start, start)
        self.exports.append(export)
        return export

    # The schedule.

    def make_due(self, export: ExportModel) -> int:
        """Every window that has closed gets its run."""
        made = 0
        while export.next_start + export.length <= self.now:
            self.runs.append(RunModel(export, export.next_start, export.next_start + export.length))
            export.next_start += export.length
            made += 1
        return made

    def tick(self) -> tuple[int, int]:
        """How many runs are made, and how many are freed because their worker was lost."""
        made = sum(self.make_due(export) for export in self.exports if not export.paused and not export.deleted)
        return made, self.reap()

    def reap(self) -> int:
        lapsed = [run for run in self.runs if run.lease is Lease.LAPSED]
        for run in lapsed:
            run.let_go()
        return sum(run.unfinished for run in lapsed)

    def time_out(self) -> None:
        for backfill in self.backfills:
            length = ENDLESS_LIMIT if backfill.end is None else backfill.end - backfill.start
            limit = max(length, BACKFILL_LIMITS[backfill.export.interval])
            if backfill.unfinished and backfill.retry_of is None and backfill.created_at + limit < self.now:
                backfill.status = "TimedOut"
                self.cancel_runs(lambda run, ended=backfill: run.backfill is ended)  # type: ignore[misc]

    def pause(self, export: ExportModel) -> None:
        if not export.paused:
            self.make_due(export)
            export.paused, export.paused_at = True, self.now

    def unpause(self, export: ExportModel) -> tuple[datetime, datetime] | None:
        """What was missed, as a backfill would have it: the pause's begin, and the first window without a run."""
        if not export.paused:
            return None
        assert export.paused_at is not None
        missed = export.paused_at, export.next_start
        self.resume(export)
        return missed

    def resume(self, export: ExportModel) -> None:
        export.paused = False
        export.next_start = export.accounted_from = max(export.next_start, export.align(self.now))

    def delete(self, export: ExportModel) -> None:
        export.deleted = export.paused = True
        for backfill in self.backfills:
            if backfill.export is export and backfill.unfinished:
                backfill.status = "Cancelled"
        self.cancel_runs(lambda run: run.export is export)

    # Runs and who may write to them.

    def claimable(self) -> list[RunModel]:
        """In the order in which they are taken."""
        taken = [run for run in self.runs if run.lease is not Lease.NONE]
        free = [
            run
            for run in self.runs
            if run.unfinished
            and not run.waiting
            and run.lease is not Lease.HELD
            and not any(other is not run and other.window == run.window for other in taken)
        ]
        return sorted(free, key=_place)

    def claim(self, run: RunModel, owner: str) -> ClaimModel:
        run.status, run.owner, run.lease = "Running", owner, Lease.HELD
        run.epoch += 1
        return ClaimModel(run, run.epoch, run.attempt)

    def extend(self, claim: ClaimModel) -> bool:
        return claim.current and claim.run.lease is Lease.HELD

    def keep(self, claim: ClaimModel) -> bool:
        return claim.run.epoch == claim.epoch and claim.run.lease is Lease.HELD

    def release(self, claim: ClaimModel) -> None:
        if claim.run.epoch == claim.epoch and not claim.run.unfinished:
            claim.run.let_go()

    def finish(self, claim: ClaimModel, status: str) -> bool:
        if not claim.current:
            return False
        claim.run.end_as(status)
        return True

    def retry_later(self, claim: ClaimModel, *, waiting: bool) -> bool:
        if not claim.current or claim.run.attempt != claim.attempt:
            return False
        claim.run.attempt += 1
        claim.run.waiting, claim.run.not_before = waiting, None
        claim.run.let_go()
        return True

    def hand_back(self, claim: ClaimModel) -> bool:
        if not claim.current:
            return False
        claim.run.let_go()
        return True

    def cancel_run(self, run: RunModel) -> bool:
        """The lease stays: its worker cleans up before the window is anybody else's."""
        if not run.unfinished:
            return False
        run.status = "Cancelled"
        return True

    def cancel_runs(self, which: Callable[[RunModel], bool]) -> None:
        for run in filter(which, self.runs):
            self.cancel_run(run)

    # Backfills.

    def may_start_backfill(self) -> bool:
        return sum(backfill.unfinished and backfill.retry_of is None for backfill in self.backfills) < 5

    def retry(self, run: RunModel) -> tuple[datetime, datetime] | None:
        """The range of a new backfill of one run; None while there is one already."""
        if any(backfill.retry_of == run.id and backfill.unfinished for backfill in self.backfills):
            return None
        return run.start, run.end

    def cancel_backfill(self, backfill: BackfillModel) -> bool:
        if not backfill.unfinished:
            return False
        backfill.status = "Cancelled"
        self.cancel_runs(lambda run: run.backfill is backfill)
        return True

    def busy(self, backfill: BackfillModel) -> bool:
        return any(run.backfill is backfill and run.unfinished for run in self.runs)

    def idle(self) -> Iterator[BackfillModel]:
        return (backfill for backfill in self.backfills if backfill.unfinished and not self.busy(backfill))

    def advance(self, backfill: BackfillModel) -> RunModel | None:
        """The next window's run, if it is time for it."""
        export = backfill.export
        if not backfill.unfinished or export.deleted:
            return None
        if backfill.status == "Starting":
            first = backfill.adjusted or backfill.start
            backfill.status = "Running" if _holds_events(first, backfill.end or self.now) else "Completed"
            backfill.adjusted = first
        if backfill.status != "Running" or self.busy(backfill):
            return None
        start = backfill.cursor or backfill.adjusted or backfill.start
        if start + export.length > (backfill.end or self.now):
            backfill.status = "Completed"
            if backfill.end is None and export.paused:
                self.resume(export)
            return None
        backfill.cursor = start + export.length
        made = RunModel(export, start, backfill.cursor, backfill)
        self.runs.append(made)
        return made


def _place(run: RunModel) -> tuple[datetime, UUID]:
    assert run.not_before is not None
    assert run.id is not None
    return run.not_before, run.id


def _holds_events(start: datetime, end: datetime) -> bool:
    return start + (EPOCH - start) % EVENTS_EVERY < end
