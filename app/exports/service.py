"""Creating, changing, pausing and deleting exports (the contract's section 4). The schedule is part of the row."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from app.destinations import DESTINATIONS
from app.destinations.config import check_config, drop_secrets
from app.errors import NotFound, ValidationFailed
from app.exports.repository import ExportRepository
from app.exports.rules import check_fields, interval_offset
from app.exports.schedules import schedule_of
from app.exports.schemas import ExportPatch, ExportRead, ExportWrite
from app.models import Export, Interval
from app.runs.repository import RunRepository
from app.runs.schemas import RunRead
from app.tenants.access import Access
from app.unit import Unit

COPIED = ("name", "start_at", "end_at", "last_paused_at")
"""Fields that a write sets as they are."""


class ExportService:
    def __init__(self, unit: Unit, access: Access) -> None:
        self._session = unit.session
        self._runtime = unit.runtime
        self._access = access
        self._exports = ExportRepository(unit.session)

    async def create(self, body: ExportWrite) -> ExportRead:
        """:raises ValidationFailed: for a broken rule of the config, the destination or the fields."""
        destination = DESTINATIONS[body.destination.type]
        config = check_config(destination, body.destination.config, stored=None, partial=False)
        check_fields(body, body.model)
        export = Export(
            project_id=self._access.project_id,
            name=body.name,
            model=body.model,
            destination_type=body.destination.type,
            destination_config=self._runtime.cipher.seal(config),
            interval=body.interval,
            timezone=body.timezone or "UTC",
            interval_offset=interval_offset(body, body.interval, None, reset=True),
            start_at=body.start_at,
            end_at=body.end_at,
            paused=body.paused,
            last_paused_at=body.last_paused_at,
            incremental_mode="APPEND",
            last_modified_by=self._access.key_id,
        )
        # The first run covers the current period from its start, even if the export is younger (section 5.3).
        export.next_start = schedule_of(export).align(self._runtime.clock())
        self._session.add(export)
        await self._session.flush()
        return self._read(export, [])

    async def page(self, limit: int, offset: int) -> tuple[list[ExportRead], int]:
        exports, count = await self._exports.page(self._access.project_ids, limit, offset)
        return await self.read(exports), count

    async def get(self, export_id: UUID, *, lock: bool = False) -> Export:
        """:raises NotFound: for one that is deleted, or another project's."""
        export = await self._exports.get(self._access.project_ids, export_id, lock=lock)
        if export is None:
            raise NotFound
        return export

    async def replace(self, export_id: UUID, body: ExportWrite) -> ExportRead:
        """PUT: the required fields again, the others only where sent, and offsets reset unless sent."""
        return await self._update(export_id, body, partial=False)

    async def patch(self, export_id: UUID, body: ExportPatch) -> ExportRead:
        return await self._update(export_id, body, partial=True)

    async def pause(self, export_id: UUID) -> None:
        """Pausing what is paused changes nothing (section 4.6)."""
        export = await self.get(export_id, lock=True)
        if not export.paused:
            export.paused = True
            export.last_paused_at = export.last_updated_at = self._runtime.clock()

    async def unpause(self, export_id: UUID) -> Export | None:
        """The export if it was paused, None if it was not. Windows missed meanwhile are never run (section 4.7)."""
        export = await self.get(export_id, lock=True)
        if not export.paused:
            return None
        self._resume(export)
        export.last_updated_at = self._runtime.clock()
        return export

    async def delete(self, export_id: UUID) -> None:
        """Soft. What is unfinished is cancelled (section 4.5)."""
        export = await self.get(export_id, lock=True)
        now = self._runtime.clock()
        export.deleted = export.paused = True
        export.last_updated_at = now
        await self._exports.cancel_backfills(export.id, now)
        await RunRepository(self._session).cancel_of_export(export.id, now)

    async def read(self, exports: Sequence[Export]) -> list[ExportRead]:
        """As the API shows them, with their newest runs; one statement for all."""
        runs: dict[UUID, list[RunRead]] = {export.id: [] for export in exports}
        for run in await RunRepository(self._session).latest(list(runs)):
            runs[run.export_id].append(RunRead.of(run))
        return [self._read(export, runs[export.id]) for export in exports]

    async def _update(self, export_id: UUID, body: ExportWrite | ExportPatch, *, partial: bool) -> ExportRead:
        export = await self.get(export_id, lock=True)
        sent = body.model_fields_set
        if "model" in sent and body.model != export.model:
            raise ValidationFailed("Changing models is not supported. Create a new batch export instead.", attr="model")
        if "destination" in sent:
            self._update_destination(export, body, partial=partial)
        check_fields(body, export.model)
        self._update_schedule(export, body, reset=not partial)
        for field in COPIED:
            if field in sent:
                setattr(export, field, getattr(body, field))
        if "paused" in sent:
            if export.paused and not body.paused:
                self._resume(export)
            export.paused = body.paused
        export.last_updated_at = self._runtime.clock()
        export.last_modified_by = self._access.key_id
        await self._session.flush()
        return (await self.read([export]))[0]

    def _update_destination(self, export: Export, body: ExportWrite | ExportPatch, *, partial: bool) -> None:
        wanted = body.destination.type or export.destination_type
        if wanted != export.destination_type:
            raise ValidationFailed(
                f"Cannot change destination type from '{export.destination_type}' to '{wanted}'. Delete this batch "
                "export and create a new one with the new destination type.",
                attr="destination",
            )
        stored = self._runtime.cipher.open(export.destination_config)
        config = check_config(DESTINATIONS[wanted], body.destination.config, stored=stored, partial=partial)
        export.destination_config = self._runtime.cipher.seal(config)

    def _update_schedule(self, export: Export, body: ExportWrite | ExportPatch, *, reset: bool) -> None:
        sent = body.model_fields_set
        interval = Interval(body.interval if "interval" in sent else export.interval)
        before = schedule_of(export)
        export.interval_offset = interval_offset(body, interval, export.interval_offset, reset=reset)
        export.interval = interval
        if "timezone" in sent:
            export.timezone = body.timezone or "UTC"
        after = schedule_of(export)
        if after != before:
            # From the new boundary at or before the first moment not accounted for: a row may lie in a window of the
            # old schedule and in one of the new, but none is left out.
            export.next_start = after.align(export.next_start)

    def _resume(self, export: Export) -> None:
        export.paused = False
        export.next_start = max(export.next_start, schedule_of(export).align(self._runtime.clock()))

    def _read(self, export: Export, runs: list[RunRead]) -> ExportRead:
        document: dict[str, Any] = self._runtime.cipher.open(export.destination_config)
        destination = DESTINATIONS[export.destination_type]
        return ExportRead.of(export, drop_secrets(destination, document), runs)
