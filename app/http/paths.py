"""Ids in paths, typed and documented. What is no id at all names nothing: 404, as for an id that is not there."""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Path
from pydantic import BeforeValidator

from app.errors import NotFound

CURRENT = "@current"


def parse_uuid(text: Any) -> UUID:
    """:raises NotFound: nothing has an id that is none."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound from None


ExportId = Annotated[UUID, BeforeValidator(parse_uuid), Path(description="An export's id.")]
RunId = Annotated[UUID, BeforeValidator(parse_uuid), Path(description="A run's id.")]
BackfillId = Annotated[UUID, BeforeValidator(parse_uuid), Path(description="A backfill's id.")]


async def in_project(
    project_id: Annotated[
        str,
        Path(
            description=f"A project's id, or `{CURRENT}` for the key's first one.",
            json_schema_extra={"pattern": f"^([0-9]+|{CURRENT})$", "default": CURRENT},
        ),
    ],
) -> None:
    """A dependency of the mounts under a project, for their documentation."""


async def in_organization(
    organization_id: Annotated[
        str,
        Path(description=f"An organization's id, or `{CURRENT}`.", json_schema_extra={"default": CURRENT}),
    ],
) -> None:
    """A dependency of the mount under an organization, for its documentation."""
