"""Who calls, and what of whose they may touch (the contract's section 1.2).

Checked before the body is looked at: credentials, then the scope, then the organization or project in the path.
"""

import hmac
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from app.errors import NotAuthenticated, NotFound, PermissionDenied
from app.http.paths import CURRENT, parse_uuid
from app.http.throttle import sent_key
from app.http.unit import UnitOfWork
from app.models import ApiKey, Project
from app.tenants.access import Access
from app.tenants.repository import TenantRepository
from app.tenants.tokens import hash_key
from app.unit import Unit

READ = "batch_export:read"
WRITE = "batch_export:write"
INTEGRATION_READ = "integration:read"
INTEGRATION_WRITE = "integration:write"
GRANTED_BY = {
    READ: {READ, WRITE, "*"},
    WRITE: {WRITE, "*"},
    # Whoever manages exports manages the credentials they use; a key may also be good for these alone.
    INTEGRATION_READ: {INTEGRATION_READ, INTEGRATION_WRITE, READ, WRITE, "*"},
    INTEGRATION_WRITE: {INTEGRATION_WRITE, WRITE, "*"},
}

MAX_PROJECT_ID = 2**31 - 1
"""Of the column; a greater number names no project."""

bearer = HTTPBearer(
    scheme_name="Personal API key", description="A key made with `batch-exports keys create`.", auto_error=False
)


def _require(scope: str) -> Callable[..., Awaitable[Access]]:
    async def access(request: Request, unit: UnitOfWork, _: Annotated[object, Security(bearer)]) -> Access:
        key = await _authenticate(request, unit)
        if not GRANTED_BY[scope] & set(key.scopes):
            raise PermissionDenied(f"API key missing required scope '{scope}'")
        if "organization_id" in request.path_params:
            return await _organization_access(unit, key, request.path_params["organization_id"])
        return await _project_access(unit, key, request.path_params["project_id"])

    return access


ReadAccess = Annotated[Access, Depends(_require(READ))]
WriteAccess = Annotated[Access, Depends(_require(WRITE))]
IntegrationReadAccess = Annotated[Access, Depends(_require(INTEGRATION_READ))]
IntegrationWriteAccess = Annotated[Access, Depends(_require(INTEGRATION_WRITE))]


async def _authenticate(request: Request, unit: Unit) -> ApiKey:
    """:raises NotAuthenticated: when the request carries no live key."""
    text = sent_key(request)
    if text is None:
        raise NotAuthenticated
    tenants = TenantRepository(unit.session)
    key_hash = hash_key(text)
    key = await tenants.api_key(key_hash)
    # The index compares hashes, byte by byte, of a text nobody can steer; the decision itself takes constant time.
    if key is None or not hmac.compare_digest(key.key_hash, key_hash):
        raise NotAuthenticated("Invalid personal API key.")
    await tenants.touch_key(key, unit.runtime.clock())
    return key


async def _organization_access(unit: Unit, key: ApiKey, text: str) -> Access:
    """All projects of the organization that the key is good for; what is new belongs to the first, unless it says."""
    organization_id = key.organization_id if text == CURRENT else parse_uuid(text)
    if organization_id != key.organization_id:
        raise PermissionDenied("You don't have access to the organization.")
    return _access(key, await _visible_projects(unit, key), organization_wide=True)


async def _project_access(unit: Unit, key: ApiKey, text: str) -> Access:
    if text == CURRENT:
        return _access(key, (await _visible_projects(unit, key))[:1])
    project = await TenantRepository(unit.session).project(_project_id(text))
    if project is None:
        raise NotFound("Project not found.")
    if project.organization_id != key.organization_id or project.id not in (key.project_ids or (project.id,)):
        raise PermissionDenied("You don't have access to the project.")
    return _access(key, [project])


def _access(key: ApiKey, projects: Sequence[Project], *, organization_wide: bool = False) -> Access:
    return Access(
        organization_id=key.organization_id,
        project_ids=tuple(project.id for project in projects),
        project_id=projects[0].id,
        key_id=key.id,
        organization_wide=organization_wide,
        flags={project.id: project.flags for project in projects},
    )


def _project_id(text: str) -> int:
    # The length first: reading thousands of digits is refused by Python itself, with another error.
    if len(text) > 10 or not (text.isascii() and text.isdigit()) or int(text) > MAX_PROJECT_ID:
        raise NotFound("Project not found.")
    return int(text)


async def _visible_projects(unit: Unit, key: ApiKey) -> Sequence[Project]:
    projects = await TenantRepository(unit.session).projects(key.organization_id)
    visible = [project for project in projects if key.project_ids is None or project.id in key.project_ids]
    if not visible:
        raise NotFound("The organization has no project yet.")
    return visible
