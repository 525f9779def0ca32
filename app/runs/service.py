"""What may be done with runs."""

from collections.abc import Sequence
from uuid import UUID

from app.db.pages import Place
from app.errors import NotFound, ValidationFailed
from app.models import Run, RunFile
from app.runs.files import RunFileRepository
from app.runs.repository import RunFilter, RunRepository
from app.tenants.access import Access
from app.unit import Unit

PAGE_SIZE = 100
ORDERINGS = ("created_at", "-created_at", "data_interval_start", "-data_interval_start")
DEFAULT_ORDERING = "-created_at"


class RunService:
    def __init__(self, unit: Unit, access: Access) -> None:
        self._unit = unit
        self._access = access
        self._runs = RunRepository(unit.session)

    async def page(
        self, export_id: UUID, wanted: RunFilter, ordering: str, place: Place | None
    ) -> tuple[Sequence[Run], bool]:
        """A page of an export's runs; empty for an export of another project (the contract's section 1.2)."""
        return await self._runs.page(
            self._access.project_ids,
            export_id,
            wanted,
            ordering.removeprefix("-"),
            descending=ordering.startswith("-"),
            place=place,
            size=PAGE_SIZE,
        )

    async def get(self, export_id: UUID, run_id: UUID) -> Run:
        """:raises NotFound: for a run of another export or project."""
        run = await self._runs.get(self._access.project_ids, export_id, run_id)
        if run is None:
            raise NotFound
        return run

    async def files(self, export_id: UUID, run_id: UUID) -> tuple[Run, Sequence[RunFile]]:
        """A run and the objects it has left.

        :raises NotFound: for a run of another export or project.
        """
        run = await self.get(export_id, run_id)
        return run, await RunFileRepository(self._unit.session).of_run(run.id)

    async def cancel(self, export_id: UUID, run_id: UUID) -> None:
        """:raises ValidationFailed: when it has ended already."""
        run = await self.get(export_id, run_id)
        if not await self._runs.cancel(run.id, self._unit.runtime.clock()):
            await self._unit.session.refresh(run)
            raise ValidationFailed(f"Cannot cancel a run that is in '{run.status}' status")
