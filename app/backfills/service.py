"""Starting, reading and cancelling backfills."""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

from sqlalchemy import text

from app.backfills.dates import check_order, parse_bound
from app.backfills.repository import BackfillRepository
from app.backfills.schemas import BackfillRead, BackfillWrite, Unpause, workflow_id
from app.db.pages import Place
from app.errors import NotFound, TooManyConcurrentBackfills, ValidationFailed
from app.exports.repository import ExportRepository
from app.exports.schedules import schedule_of
from app.exports.service import ExportService
from app.http.body import Draft
from app.models import Backfill, Export, SelectBy
from app.models.enums import UNFINISHED_BACKFILL
from app.runs.claims import ClaimRepository
from app.runs.repository import RunRepository
from app.scheduling.intervals import Window
from app.tenants.access import Access
from app.tenants.flags import Flag
from app.unit import Unit

PAGE_SIZE = 50
ORDERINGS = ("created_at", "-created_at", "start_at", "-start_at")
DEFAULT_ORDERING = "-created_at"
ENDLESS = ("HTTP", "NoOp")
"""Destinations whose backfills may have no end (the contract's section 6.2, point 7)."""


class BackfillService:
    def __init__(self, unit: Unit, access: Access) -> None:
        self._unit = unit
        self._access = access
        self._backfills = BackfillRepository(unit.session)

    async def start(self, export_id: UUID, body: Draft[BackfillWrite]) -> Backfill:
        """Check in the contract's order (section 6.2), make the row, and have a worker told once it is committed.

        :raises NotFound: for an export of another project.
        :raises TooManyConcurrentBackfills: when the project has as many unfinished as it may.
        :raises ValidationFailed: for bounds that are none.
        """
        # Locked, so that an export which is being deleted gets no backfill that nobody would cancel.
        export = await ExportRepository(self._unit.session).get(self._access.project_ids, export_id, lock=True)
        if export is None:
            raise NotFound("BatchExport not found.")
        fields = body.check()
        if fields.start_at is None:
            self._access.require(Flag.EARLIEST_BACKFILL, export.project_id)
        await self._check_limit(export.project_id)
        schedule = schedule_of(export)
        start, end = parse_bound(fields.start_at, schedule), parse_bound(fields.end_at, schedule)
        check_order(start, end, self._unit.runtime.clock())
        if end is None and export.destination_type not in ENDLESS:
            raise ValidationFailed("Backfilling a BatchExport with no end date is not allowed")
        return await self._add(export, start, end, fields.select_by)

    async def unpause(self, export_id: UUID, body: Draft[Unpause]) -> None:
        """And, if asked, export what was missed since the pause; nothing at all for what is not paused (4.7).

        The backfill begins with the first window that has no run, and its last window ends where the schedule goes on.
        Both select by ingestion time, so at the two seams no row is exported twice or not at all. Its shown bounds are
        those of the pause, as clients expect.
        """
        exports = ExportService(self._unit, self._access)
        export = await exports.get(export_id, lock=True)
        wanted = body.check().backfill
        missed = export.next_start
        if exports.unpause(export) and wanted:
            # Created paused, it was never paused by anybody: then what it missed began with its creation.
            start, end = export.last_paused_at or export.created_at, export.last_updated_at
            if export.end_at is not None and export.end_at < start:
                # The schedule had come to its end before the pause, which only then made anything be missed.
                missed = max(missed, schedule_of(export).align(start))
            await self._add(export, min(start, end), end, SelectBy.INGESTED_AT, adjusted_start=missed)

    async def retry(self, export_id: UUID, run_id: UUID) -> str:
        """Export a run's window once more, by a new run that selects as the old one did; the name of its backfill.

        There is no counting first: a retry always makes its run. While one is unfinished, asking again changes nothing.

        :raises NotFound: for a run of another export or project, or of an export that is deleted.
        """
        # Locked, so that an export which is being deleted gets no run that nobody would cancel.
        export = await ExportRepository(self._unit.session).get(self._access.project_ids, export_id, lock=True)
        run = await RunRepository(self._unit.session).get(self._access.project_ids, export_id, run_id)
        if export is None or run is None:
            raise NotFound
        runtime = self._unit.runtime
        backfill_id = await self._backfills.add_retry(run, runtime.clock())
        if backfill_id is not None:
            made = await ClaimRepository(self._unit.session).add(
                export,
                [Window(run.data_interval_start, run.data_interval_end)],
                runtime.settings.settle_delay,
                backfill_id=backfill_id,
                select_by=SelectBy(run.select_by),
            )
            self._unit.after_commit.extend(partial(runtime.queue.wake, new_id) for new_id in made)
        return workflow_id(export_id, run.data_interval_start, run.data_interval_end)

    async def _add(
        self,
        export: Export,
        start: datetime | None,
        end: datetime | None,
        select_by: SelectBy,
        *,
        adjusted_start: datetime | None = None,
    ) -> Backfill:
        now = self._unit.runtime.clock()
        backfill = Backfill(
            export_id=export.id,
            project_id=export.project_id,
            start_at=start,
            end_at=end,
            adjusted_start_at=adjusted_start,
            select_by=select_by,
            created_at=now,
            last_updated_at=now,
        )
        self._unit.session.add(backfill)
        await self._unit.session.flush()
        self._unit.after_commit.append(partial(self._unit.runtime.queue.advance, backfill.id))
        return backfill

    async def page(self, export_id: UUID, ordering: str, place: Place | None) -> tuple[Sequence[Backfill], bool]:
        """A page of an export's backfills; empty for an export of another project."""
        return await self._backfills.page(
            self._access.project_ids,
            export_id,
            ordering.removeprefix("-"),
            descending=ordering.startswith("-"),
            place=place,
            size=PAGE_SIZE,
        )

    async def read(self, backfills: Sequence[Backfill]) -> list[BackfillRead]:
        """As the API shows them, with their progress."""
        # Only these show it; and a backfill that has ended may have had thousands of runs.
        unfinished = [backfill.id for backfill in backfills if backfill.status in UNFINISHED_BACKFILL]
        finished = await self._backfills.finished_runs(unfinished)
        exports = await ExportRepository(self._unit.session).by_ids({backfill.export_id for backfill in backfills})
        now = self._unit.runtime.clock()
        return [
            BackfillRead.of(backfill, exports[backfill.export_id], finished.get(backfill.id, 0), now)
            for backfill in backfills
        ]

    async def get(self, export_id: UUID, backfill_id: UUID) -> Backfill:
        """:raises NotFound: for a backfill of another export or project."""
        backfill = await self._backfills.get(self._access.project_ids, export_id, backfill_id)
        if backfill is None:
            raise NotFound
        return backfill

    async def cancel(self, export_id: UUID, backfill_id: UUID) -> None:
        """Together with its unfinished runs.

        :raises ValidationFailed: when it has ended already.
        """
        backfill = await self.get(export_id, backfill_id)
        now = self._unit.runtime.clock()
        if not await self._backfills.cancel(backfill.id, now):
            await self._unit.session.refresh(backfill)
            raise ValidationFailed(f"Cannot cancel a backfill that is in '{backfill.status}' status")
        await RunRepository(self._unit.session).cancel_of_backfill(backfill.id, now)

    async def _check_limit(self, project_id: int) -> None:
        # Concurrent requests of one project count one after another, so that none of them passes on a stale count.
        lock = text("SELECT pg_advisory_xact_lock(hashtext('backfills'), :project_id)")
        await self._unit.session.execute(lock, {"project_id": project_id})
        limit = self._unit.runtime.settings.max_concurrent_backfills
        if await self._backfills.count_unfinished(project_id) >= limit:
            raise TooManyConcurrentBackfills(
                f"This team already has {limit} batch export backfills running. Wait for some to finish or cancel them "
                "before creating more."
            )
