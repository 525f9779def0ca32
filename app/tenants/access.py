"""What a caller may touch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from app.errors import PermissionDenied, ValidationFailed
from app.tenants.flags import Flag, is_on, refusal


@dataclass(frozen=True, slots=True)
class Access:
    """What this request may see: the projects in ``project_ids``. ``project_id`` is where something new belongs."""

    organization_id: UUID
    project_ids: tuple[int, ...]
    project_id: int
    key_id: UUID
    organization_wide: bool = False
    """The path names an organization, not a project."""
    flags: Mapping[int, Mapping[str, bool]] = field(default_factory=dict)
    """By project, those that it has set. Read together with the projects, so asking costs no statement."""

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

    def has(self, flag: Flag, project_id: int | None = None) -> bool:
        """Whether the flag is on in that project; where something new belongs, if none is named."""
        return is_on(self.flags.get(self.project_id if project_id is None else project_id, {}), flag)

    def require(self, flag: Flag, project_id: int | None = None) -> None:
        """:raises app.errors.ApiError: the contract's refusal, where the flag is off."""
        if not self.has(flag, project_id):
            raise refusal(flag)
