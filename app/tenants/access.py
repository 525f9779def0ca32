"""What a caller may touch."""

from dataclasses import dataclass
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Access:
    """What this request may see: the projects in ``project_ids``. ``project_id`` is where something new belongs."""

    organization_id: UUID
    project_ids: tuple[int, ...]
    project_id: int
    key_id: UUID
