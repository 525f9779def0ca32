"""What a caller may touch."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from app.errors import PermissionDenied, ValidationFailed


@dataclass(frozen=True, slots=True)
class Access:
    """What this request may see: the projects in ``project_ids``. ``project_id`` is where something new belongs."""

    organization_id: UUID
    project_ids: tuple[int, ...]
    project_id: int
    key_id: UUID
    organization_wide: bool = False
    """The path names an organization, not a project."""

    def home(self, team_id: Any) -> int:
        """The project of something new. A ``team_id`` in a body decides only where the path names no project.

        :raises PermissionDenied: for a project that the caller may not touch.
        """
        if not self.organization_wide or team_id is None:
            return self.project_id
        if not isinstance(team_id, int) or isinstance(team_id, bool):
            raise ValidationFailed("A valid integer is required.", attr="team_id")
        if team_id not in self.project_ids:
            raise PermissionDenied("You don't have access to the project.")
        return team_id
