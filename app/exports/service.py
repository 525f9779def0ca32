"""Creating, changing, pausing and deleting exports (the contract's section 4). The schedule is part of the row."""

from collections.abc import Sequence
from typing import Any, TypeVar
from uuid import UUID

from app.destinations import DESTINATIONS
from app.destinations.config import drop_secrets
from app.errors import NotFound
from app.exports.due import DueWindows
from app.exports.facts import Before, Facts
from app.exports.queries import schema_of
from app.exports.repository import ExportRepository
from app.exports.rules import check_destination, check_fields, check_partitions, interval_offset
from app.exports.schedules import schedule_of
from app.exports.schemas import ExportPatch, ExportRead, ExportWrite
from app.http.body import Draft
from app.models import Export, Interval, Model
from app.runs.repository import RunRepository
from app.runs.schemas import RunRead
from app.tenants.access import Access
from app.unit import Unit

Fields = TypeVar("Fields", bound=ExportWrite)

COPIED = ("name", "start_at", "end_at", "last_paused_at", "filters")
"""Fields that a write sets as they are."""


class ExportService:
    def __init__(self, unit: Unit, access: Access) -> None:
        self._facts = Facts(unit, access)
        self._session = unit.session
        self._runtime = unit.runtime
        self._access = access
        self._exports = ExportRepository(unit.session)

    async def create(self, body: Draft[ExportWrite]) -> ExportRead:
        """:raises ValidationFailed: for a broken rule of the config, the destination or the fields."""
        export, _ = await self.draft(body)
        self._session.add(export)
        await self._session.flush()
        return self._read(export, [])

    async def draft(self, body: Draft[ExportWrite]) -> tuple[Export, ExportWrite]:
        """The row that a create would make, and the checked body.

        :raises ValidationFailed: as a create.
        """
        fields = await self._facts.check(body)
        model = fields.model or Model.EVENTS
        check_destination(fields.destination.type, model)
        check_fields(fields, model)
        check_partitions(fields.destination.type, fields.destination.config, model, fields.hogql_query)
        now = self._runtime.clock()
        export = Export(
            project_id=self._access.home(fields.team_id),
            name=fields.name,
            model=model,
            destination_type=fields.destination.type,
            destination_config=self._runtime.cipher.seal(fields.destination.config),
            integration_id=fields.destination.linked.id if fields.destination.linked is not None else None,
            interval=fields.interval,
            timezone=fields.timezone or "UTC",
            interval_offset=interval_offset(fields, fields.interval, None, reset=True),
            start_at=fields.start_at,
            end_at=fields.end_at,
            paused=fields.paused,
            last_paused_at=fields.last_paused_at,
            incremental_mode=fields.incremental_mode or "APPEND",
            filters=fields.filters,
            hogql_query=fields.hogql_query,
            schema=schema_of(fields.hogql_query),
            last_modified_by=self._access.key_id,
            created_at=now,
            last_updated_at=now,
        )
        # The first run covers the current period from its start, even if the export is younger (section 5.3).
        export.next_start = export.accounted_from = schedule_of(export).align(now)
        return export, fields

    async def page(self, limit: int, offset: int) -> tuple[list[ExportRead], int]:
        hidden = [name for name, destination in DESTINATIONS.items() if destination.hidden]
        exports, count = await self._exports.page(self._access.project_ids, limit, offset, hidden)
        return await self.read(exports), count

    async def get(self, export_id: UUID, *, lock: bool = False) -> Export:
        """:raises NotFound: for one that is deleted, or another project's."""
        export = await self._exports.get(self._access.project_ids, export_id, lock=lock)
        if export is None:
            raise NotFound
        return export

    async def replace(self, export_id: UUID, body: Draft[ExportWrite]) -> ExportRead:
        """PUT: the required fields again, the others only where sent, and offsets reset unless sent."""
        return await self._update(export_id, body, reset_offsets=True)

    async def patch(self, export_id: UUID, body: Draft[ExportPatch]) -> ExportRead:
        return await self._update(export_id, body, reset_offsets=False)

    async def pause(self, export_id: UUID) -> None:
        """Pausing what is paused changes nothing (section 4.6)."""
        export = await self.get(export_id, lock=True)
        if not export.paused:
            await self._stop(export)
            export.last_paused_at = export.last_updated_at = self._runtime.clock()

    def unpause(self, export: Export) -> bool:
        """False if it was not paused. Windows missed meanwhile are never run by themselves (section 4.7)."""
        if not export.paused:
            return False
        self._resume(export)
        export.last_updated_at = self._runtime.clock()
        return True

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

    def before(self, export: Export) -> Before:
        """What an update of the export, or a test of its connection, starts from."""
        stored = self._runtime.cipher.open(export.destination_config)
        return Before(export.project_id, export.model, export.destination_type, stored, export.integration_id)

    async def _update(self, export_id: UUID, body: Draft[Fields], *, reset_offsets: bool) -> ExportRead:
        # Once before the row is locked: what the checks ask for, names of hosts above all, is looked up meanwhile.
        await self._facts.check(body, self.before(await self.get(export_id)))
        export = await self.get(export_id, lock=True)
        before = self.before(export)
        fields = await self._facts.check(body, before)
        check_fields(fields, export.model)
        sent = fields.model_fields_set
        if sent & {"destination", "hogql_query"}:
            config = fields.destination.config if "destination" in sent else before.config
            query = fields.hogql_query if "hogql_query" in sent else export.hogql_query
            check_partitions(export.destination_type, config, export.model, query)
        self._update_schedule(export, fields, reset=reset_offsets)
        if "end_at" in sent and export.end_at is not None and export.end_at <= self._runtime.clock():
            # It had ended: what went by since is no more made up than a pause is.
            self._skip_to_now(export)
        if "start_at" in sent and fields.start_at != export.start_at:
            # What did not fire for the old one is not to be made up for the new one.
            export.accounted_from = export.next_start
        for field in COPIED:
            if field in sent:
                setattr(export, field, getattr(fields, field))
        if "hogql_query" in sent:
            export.hogql_query, export.schema = fields.hogql_query, schema_of(fields.hogql_query)
        if "destination" in sent:
            linked = fields.destination.linked
            export.destination_config = self._runtime.cipher.seal(fields.destination.config)
            export.integration_id = linked.id if linked is not None else None
        if "incremental_mode" in sent:
            export.incremental_mode = fields.incremental_mode or "APPEND"
        if "paused" in sent:
            if export.paused and not fields.paused:
                self._resume(export)
            elif fields.paused and not export.paused:
                await self._stop(export)
        export.last_updated_at = self._runtime.clock()
        export.last_modified_by = self._access.key_id
        await self._session.flush()
        return (await self.read([export]))[0]

    def _update_schedule(self, export: Export, fields: ExportWrite, *, reset: bool) -> None:
        sent = fields.model_fields_set
        interval = fields.interval if "interval" in sent else Interval(export.interval)
        before = schedule_of(export)
        export.interval_offset = interval_offset(fields, interval, export.interval_offset, reset=reset)
        export.interval = interval
        if "timezone" in sent:
            export.timezone = fields.timezone or "UTC"
        after = schedule_of(export)
        if after != before:
            # From the new boundary at or before the first moment not accounted for: a row may lie in a window of the
            # old schedule and in one of the new, but none is left out.
            export.next_start = export.accounted_from = after.align(export.next_start)

    async def _stop(self, export: Export) -> None:
        # Windows that closed before this moment are not the pause's, though no tick has come to them yet.
        await DueWindows.of(self._runtime.settings).make_all(self._session, export, self._runtime.clock())
        export.paused = True

    def _resume(self, export: Export) -> None:
        export.paused = False
        self._skip_to_now(export)

    def _skip_to_now(self, export: Export) -> None:
        boundary = schedule_of(export).align(self._runtime.clock())
        export.next_start = export.accounted_from = max(export.next_start, boundary)

    def _read(self, export: Export, runs: list[RunRead]) -> ExportRead:
        document: dict[str, Any] = self._runtime.cipher.open(export.destination_config)
        destination = DESTINATIONS[export.destination_type]
        return ExportRead.of(export, drop_secrets(destination, document), runs)
