"""Who calls, and what of whose they may touch (the contract's section 1.2).

Checked before the body is looked at: credentials, then the scope, then the organization or project in the path.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.security import HTTPBearer

from app.errors import NotAuthenticated, NotFound, PermissionDenied
from app.http.unit import UnitOfWork, get_runtime
from app.models import ApiKey
from app.tenants.access import Access
from app.tenants.repository import TenantRepository
from app.tenants.tokens import hash_key
from app.unit import Unit

CURRENT = "@current"
READ = "batch_export:read"
WRITE = "batch_export:write"
GRANTED_BY = {READ: {READ, WRITE, "*"}, WRITE: {WRITE, "*"}}

bearer = HTTPBearer(
    scheme_name="Personal API key", description="A key made with `batch-exports keys create`.", auto_error=False
)


async def authenticate_request(request: Request) -> None:
    """:raises NotAuthenticated: when the request carries no live key."""
    runtime = get_runtime(request)
    async with runtime.sessions() as session:
        await _authenticate(request, Unit(session, runtime))


async def _authenticate(request: Request, unit: Unit) -> ApiKey:
    header = request.headers.get("Authorization", "")
    kind, _, text = header.partition(" ")
    if kind.lower() != "bearer" or not text.strip():
        raise NotAuthenticated
    tenants = TenantRepository(unit.session)
    key = await tenants.api_key(hash_key(text.strip()))
    if key is None:
        raise NotAuthenticated("Invalid personal API key.")
    await tenants.touch_key(key.id, unit.runtime.clock())
    return key


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


async def _organization_access(unit: Unit, key: ApiKey, text: str) -> Access:
    """All projects of the organization that the key is good for; what is new belongs to the first."""
    organization_id = key.organization_id if text == CURRENT else parse_uuid(text)
    if organization_id != key.organization_id:
        raise PermissionDenied("You don't have access to the organization.")
    project_ids = await _visible_projects(unit, key)
    return Access(organization_id, project_ids, project_ids[0], key.id)


async def _project_access(unit: Unit, key: ApiKey, text: str) -> Access:
    if text == CURRENT:
        project_id = (await _visible_projects(unit, key))[0]
        return Access(key.organization_id, (project_id,), project_id, key.id)
    # Ids beyond the column's range name no project.
    if not (text.isascii() and text.isdigit()) or int(text) >= 2**31:
        raise NotFound("Project not found.")
    project = await TenantRepository(unit.session).project(int(text))
    if project is None:
        raise NotFound("Project not found.")
    if project.organization_id != key.organization_id or project.id not in (key.project_ids or (project.id,)):
        raise PermissionDenied("You don't have access to the project.")
    return Access(project.organization_id, (project.id,), project.id, key.id)


async def _visible_projects(unit: Unit, key: ApiKey) -> tuple[int, ...]:
    projects = await TenantRepository(unit.session).projects(key.organization_id)
    visible = tuple(project.id for project in projects if key.project_ids is None or project.id in key.project_ids)
    if not visible:
        raise NotFound("The organization has no project yet.")
    return visible


def parse_uuid(text: str) -> UUID:
    """:raises NotFound: nothing has an id that is none."""
    try:
        return UUID(text)
    except ValueError:
        raise NotFound from None
