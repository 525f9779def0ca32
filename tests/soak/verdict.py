"""The end of a soak: does everything settle, is every row where it belongs, and what did it cost."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final

from sqlalchemy import func, or_, select

from app.models import Backfill, Export, Notification, Run, RunStatus
from app.models.enums import UNFINISHED_BACKFILL, UNFINISHED_RUN
from app.notifications.notices import Kind
from app.runtime import Runtime
from app.scheduling.intervals import Window
from tests.faults.oracle import Oracle
from tests.soak.crew import Usage
from tests.soak.patience import holds
from tests.soak.schedule import Exported, Tenancy, caught_up, mark_of

SETTLED: Final = 300.0
"""Seconds in which all that was left over when the faults ended must be done."""
MEMORY_LIMIT_MIB: Final = 512
MORE_FILES, MORE_CONNECTIONS = 30, 20
"""Than at the start may be open at the end: what is kept ready once it was needed, and no more."""


@dataclass
class Numbers:
    """What has been done, by the rows."""

    windows: int = 0
    runs: int = 0
    rows: int = 0
    megabytes: float = 0
    claims: int = 0
    failed_attempts: int = 0
    taken_over: int = 0
    cancelled: int = 0
    still: float = 0
    """Seconds in which no run ended, at most."""


@dataclass
class Verdict:
    runtime: Runtime
    oracle: Oracle
    tenancy: Tenancy
    reasons: list[str] = field(default_factory=list)

    async def settle(self, faults_ended: datetime) -> None:
        """Wait until nothing is left to do."""
        for export in self.tenancy.scheduled:

            async def ticked(export: Exported = export) -> bool:
                return caught_up(await mark_of(self.runtime, export), faults_ended)

            self._unless(await holds(ticked, SETTLED), f"{export.prefix} no tick makes its runs")
            await self._stop_schedule(export)
        self._unless(await holds(self._nothing_left, SETTLED), f"not settled within {SETTLED:.0f} s")

    async def judge(self) -> None:
        for export in self.tenancy.exports:
            windows = await self._windows(export)
            end = await mark_of(self.runtime, export) if export.scheduled else export.end
            self._judge_schedule(export, windows, export.due(end))
            failed = 0 if export.works else len(windows)
            try:
                await self.oracle.judge(export.id, export.prefix, windows=len(windows), failed=failed)
            except AssertionError as broken:
                self.reasons.append(f"{export.prefix} {broken}")
            if not export.works:
                await self._judge_failures(export)

    async def _judge_failures(self, export: Exported) -> None:
        """Of the export that cannot work people are told, and it is paused."""
        async with self.runtime.sessions() as session:
            query = select(Notification.kind).where(Notification.export_id == export.id)
            kinds = set(await session.scalars(query))
            paused = (await session.get_one(Export, export.id)).paused
        self._unless({Kind.RUN_FAILED, Kind.EXPORT_PAUSED} <= kinds, f"{export.prefix} failed; told was only {kinds}")
        self._unless(paused, f"{export.prefix} fails and fails, and is not paused")

    def _judge_schedule(self, export: Exported, windows: set[Window], due: set[Window]) -> None:
        lacking = [window for window in due - windows if not export.may_lack(window)]
        self._unless(not lacking, f"{export.prefix} intervals without a run: {sorted(lacking, key=str)}")
        self._unless(windows <= due, f"{export.prefix} runs that are no intervals: {windows - due}")

    def judge_usage(self, start: Usage, peak: Usage, end: Usage) -> None:
        self._unless(peak.memory_mib < MEMORY_LIMIT_MIB, f"a worker took {peak.memory_mib:.0f} MiB")
        self._unless(end.files <= start.files + MORE_FILES, f"open files: {start.files} first, {end.files} in the end")
        self._unless(
            end.connections <= start.connections + MORE_CONNECTIONS,
            f"connections: {start.connections} first, {end.connections} in the end",
        )

    async def numbers(self, since: datetime, until: datetime) -> Numbers:
        async with self.runtime.sessions() as session:
            runs = (await session.scalars(select(Run))).all()
        ends = sorted(
            run.finished_at for run in runs if run.finished_at is not None and since < run.finished_at < until
        )
        return Numbers(
            windows=len({(run.export_id, run.data_interval_start, run.data_interval_end) for run in runs}),
            runs=len(runs),
            rows=sum(run.records_completed or 0 for run in runs),
            megabytes=sum(run.bytes_exported or 0 for run in runs) / 1e6,
            claims=sum(run.epoch for run in runs),
            failed_attempts=sum(_failed(run) for run in runs),
            taken_over=sum(_taken_over(run) for run in runs),
            cancelled=sum(run.status == RunStatus.CANCELLED for run in runs),
            still=_longest([since, *ends]).total_seconds(),
        )

    async def _windows(self, export: Exported) -> set[Window]:
        async with self.runtime.sessions() as session:
            query = select(Run.data_interval_start, Run.data_interval_end).where(Run.export_id == export.id)
            return {Window(start, end) for start, end in await session.execute(query)}

    async def _stop_schedule(self, export: Exported) -> None:
        """So that no interval ends while the others are judged."""
        async with self.runtime.sessions.begin() as session:
            (await session.get_one(Export, export.id)).paused = True

    async def _nothing_left(self) -> bool:
        """No run, no retry, and no window that somebody still cleans up."""
        unfinished = or_(Run.status.in_(UNFINISHED_RUN), Run.lease_until.is_not(None))
        async with self.runtime.sessions() as session:
            runs = await session.scalar(select(func.count()).where(unfinished))
            backfills = await session.scalar(select(func.count()).where(Backfill.status.in_(UNFINISHED_BACKFILL)))
        return runs == 0 and backfills == 0

    def _unless(self, holds: bool, reason: str) -> None:
        if not holds:
            self.reasons.append(reason)


def _failed(run: Run) -> int:
    return run.attempt + (run.status in (RunStatus.FAILED, RunStatus.FAILED_RETRYABLE, RunStatus.TIMED_OUT))


def _taken_over(run: Run) -> int:
    """Claims that ended neither in a failed attempt nor in the run's end: the worker was lost, or handed it back."""
    ended = run.epoch > 0 and run.status == RunStatus.COMPLETED
    return max(0, run.epoch - _failed(run) - ended) if run.status != RunStatus.CANCELLED else 0


def _longest(moments: Sequence[datetime]) -> timedelta:
    return max((after - before for before, after in pairwise(moments)), default=timedelta(0))
