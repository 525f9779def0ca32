"""What the checks of a body want to know besides it, found out as they ask for it.

Checks are synchronous; looking up an integration or the addresses of a host is not. So a body is checked until the
checks ask for nothing new: what they ask for is noted, looked up, and they run once more from the start. A body that
names neither is checked once and costs nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel

from app.destinations.proposal import Linked
from app.errors import ApiError
from app.http.body import Draft
from app.integrations.linked import open_linked
from app.integrations.repository import IntegrationRepository
from app.network import Names, Network
from app.tenants.access import Access
from app.unit import Unit

M = TypeVar("M", bound=BaseModel)

MAX_ID = 2**31 - 1
"""Of the column; a greater number is no integration's."""


@dataclass(frozen=True, slots=True)
class Before:
    """What an update starts from, as far as the checks of its fields want to know it."""

    project_id: int
    model: str
    destination_type: str
    config: Mapping[str, Any]
    integration_id: int | None


class Facts:
    """Of one request, or of several checks in it."""

    def __init__(self, unit: Unit, access: Access) -> None:
        self.access = access
        self.before: Before | None = None
        self.names = Names(Network.of(unit.runtime.settings))
        self._unit = unit
        self._integrations: dict[tuple[int, int], Linked | None] = {}
        self._asked: set[tuple[int, int]] = set()

    def project(self, team_id: Any) -> int:
        """The project whose flags and integrations count. A ``team_id`` that is wrong is refused elsewhere."""
        if self.before is not None:
            return self.before.project_id
        chosen = self.access.organization_wide and isinstance(team_id, int) and team_id in self.access.project_ids
        return int(team_id) if chosen else self.access.project_id

    def integration(self, project_id: int, number: int) -> Linked | None:
        """The project's integration of that id; None, too, until it has been looked up."""
        key = (project_id, number)
        if key not in self._integrations and 0 < number <= MAX_ID:
            self._asked.add(key)
        return self._integrations.get(key)

    async def check(self, body: Draft[M], before: Before | None = None) -> M:
        """The body, checked. Integrations that it names cannot be deleted until the transaction ends.

        :raises ApiError: for the first rule that is broken.
        """
        self.before = before
        while True:
            try:
                checked = body.check(self)
            except ApiError:
                if not await self._look_up():
                    raise
            else:
                if not await self._look_up():
                    return checked

    async def _look_up(self) -> bool:
        """Whether anything was asked for that was not known."""
        asked, self._asked = sorted(self._asked), set()
        repository = IntegrationRepository(self._unit.session)
        for project_id, number in asked:
            found = await repository.for_use([project_id], number)
            runtime = self._unit.runtime
            linked = open_linked(found, runtime.cipher, runtime.settings) if found is not None else None
            self._integrations[project_id, number] = linked
        hosts = bool(self.names.missing)
        if hosts:
            await self.names.look_up()
        return bool(asked) or hosts
