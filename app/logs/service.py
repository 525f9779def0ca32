"""Reading the log of an export, or of one of its runs."""

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

from app.errors import NotFound
from app.logs.repository import LogFilter, LogRepository
from app.models import LogEntry
from app.tenants.access import Access
from app.unit import Unit


class LogService:
    def __init__(self, unit: Unit, access: Access) -> None:
        self._access = access
        self._logs = LogRepository(unit.session)

    async def of_export(
        self, export_id: UUID, wanted: LogFilter, instance_id: str | None, limit: int, offset: int
    ) -> tuple[Sequence[LogEntry], int]:
        """:raises NotFound: for an export that is deleted, or another project's."""
        if not await self._logs.export_exists(self._access.project_ids, export_id):
            raise NotFound
        if instance_id:
            try:
                instance = UUID(instance_id)
            except ValueError:
                return [], 0
            about_export = instance == export_id
            wanted = replace(wanted, run_id=None if about_export else instance, about_export=about_export)
        return await self._logs.page(export_id, wanted, limit, offset)

    async def of_run(
        self, export_id: UUID, run_id: UUID, wanted: LogFilter, limit: int, offset: int
    ) -> tuple[Sequence[LogEntry], int]:
        """:raises NotFound: for a run of another export or project."""
        if not await self._logs.run_exists(self._access.project_ids, export_id, run_id):
            raise NotFound
        return await self._logs.page(export_id, replace(wanted, run_id=run_id), limit, offset)
