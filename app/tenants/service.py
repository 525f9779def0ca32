"""Making and revoking what tenants own. The caller commits."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.errors import SetupError
from app.models import ApiKey, Organization, Project
from app.tenants.flags import Flag
from app.tenants.repository import TenantRepository
from app.tenants.tokens import hash_key, new_api_key, new_project_token

SCOPES = ("batch_export:read", "batch_export:write", "integration:read", "integration:write", "*")


async def create_organization(session: AsyncSession, name: str) -> Organization:
    organization = Organization(name=name)
    session.add(organization)
    await session.flush()
    return organization


async def create_project(session: AsyncSession, organization_id: UUID, name: str) -> Project:
    """:raises SetupError: when there is no such organization."""
    if await TenantRepository(session).organization(organization_id) is None:
        raise SetupError(f"There is no organization {organization_id}.")
    project = Project(organization_id=organization_id, name=name, token=new_project_token())
    session.add(project)
    await session.flush()
    return project


async def flags_of(session: AsyncSession, project_id: int) -> dict[str, bool]:
    """Those that the project has set.

    :raises SetupError: when there is no such project.
    """
    project = await TenantRepository(session).project(project_id)
    if project is None:
        raise SetupError(f"There is no project {project_id}.")
    return project.flags


async def set_flag(session: AsyncSession, project_id: int, flag: Flag, *, on: bool) -> dict[str, bool]:
    """Those that the project has set then.

    :raises SetupError: when there is no such project.
    """
    flags = await TenantRepository(session).set_flag(project_id, flag, on=on)
    if flags is None:
        raise SetupError(f"There is no project {project_id}.")
    return flags


async def create_api_key(
    session: AsyncSession,
    organization_id: UUID,
    scopes: Sequence[str],
    label: str,
    project_ids: Sequence[int] | None = None,
) -> tuple[ApiKey, str]:
    """A new key and its text, which is never to be had again.

    :raises SetupError: for an unknown organization, project or scope.
    """
    tenants = TenantRepository(session)
    if await tenants.organization(organization_id) is None:
        raise SetupError(f"There is no organization {organization_id}.")
    unknown = [scope for scope in scopes if scope not in SCOPES]
    if unknown or not scopes:
        raise SetupError(f"Unknown scope {', '.join(unknown) or '(none given)'}; there are {', '.join(SCOPES)}.")
    foreign = set(project_ids or ()) - {project.id for project in await tenants.projects(organization_id)}
    if foreign:
        raise SetupError(f"Organization {organization_id} has no project {', '.join(map(str, sorted(foreign)))}.")
    text = new_api_key()
    key = ApiKey(
        organization_id=organization_id,
        project_ids=sorted(project_ids) if project_ids else None,
        label=label,
        key_hash=hash_key(text),
        hint=text[-4:],
        scopes=list(scopes),
    )
    session.add(key)
    await session.flush()
    return key, text
