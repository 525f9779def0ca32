"""``organizations``, ``projects`` and ``keys``: who may use the service."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated
from uuid import UUID

import typer
from sqlalchemy.ext.asyncio import AsyncSession

from app.cli.output import Json, emit, fail, open_settings, run, verb
from app.clocks import utc_now
from app.db.engine import create_engine, create_sessions
from app.models import ApiKey, Project
from app.tenants.repository import TenantRepository
from app.tenants.service import SCOPES, create_api_key, create_organization, create_project

organizations = typer.Typer(help="Organizations own projects and keys.", no_args_is_help=True)
projects = typer.Typer(help="Projects own events and exports.", no_args_is_help=True)
keys = typer.Typer(help="Personal API keys, for the HTTP API.", no_args_is_help=True)

Organization = Annotated[UUID, typer.Option(help="The organization's id.", metavar="ID")]
Name = Annotated[str, typer.Option(help="What people call it.")]


@asynccontextmanager
async def open_session() -> AsyncIterator[AsyncSession]:
    """One transaction on the service's database, committed at the end."""
    engine = create_engine(open_settings(), application_name="batch-exports cli")
    try:
        async with create_sessions(engine).begin() as session:
            yield session
    finally:
        await engine.dispose()


@organizations.command("create")
@verb
def create_organization_(name: Name, as_json: Json = False) -> None:
    """Make an organization and print its id."""

    async def create() -> UUID:
        async with open_session() as session:
            return (await create_organization(session, name)).id

    organization_id = run(create())
    emit({"organization_id": organization_id}, as_json=as_json, text=f"organization {organization_id}")


@projects.command("create")
@verb
def create_project_(organization: Organization, name: Name, as_json: Json = False) -> None:
    """Make a project and print its id and the token its apps send events with."""

    async def create() -> tuple[int, str]:
        async with open_session() as session:
            project = await create_project(session, organization, name)
            return project.id, project.token

    project_id, token = run(create())
    emit(
        {"project_id": project_id, "project_token": token},
        as_json=as_json,
        text=f"project {project_id}, token {token}",
    )


@projects.command("list")
@verb
def list_projects(
    organization: Annotated[UUID | None, typer.Option(help="Only this organization's.", metavar="ID")] = None,
    as_json: Json = False,
) -> None:
    """List projects, with the tokens their apps send events with."""

    async def read() -> list[Project]:
        async with open_session() as session:
            return list(await TenantRepository(session).projects(organization))

    found = run(read())
    document = [
        {
            "project_id": project.id,
            "organization_id": project.organization_id,
            "name": project.name,
            "project_token": project.token,
        }
        for project in found
    ]
    lines = [f"{project.id}  {project.token}  {project.name}" for project in found]
    emit({"projects": document}, as_json=as_json, text="\n".join(lines) or "no projects")


@keys.command("create")
@verb
def create_key(
    organization: Organization,
    scopes: Annotated[str, typer.Option(help=f"Comma-separated: {', '.join(SCOPES)}. Writing includes reading.")],
    project: Annotated[
        list[int] | None, typer.Option(help="Only good for this project; may be repeated.", metavar="ID")
    ] = None,
    label: Annotated[str, typer.Option(help="To tell keys apart in a list.")] = "",
    as_json: Json = False,
) -> None:
    """Make a key and print it. It is shown this once."""

    async def create() -> tuple[UUID, str]:
        async with open_session() as session:
            wanted = [scope.strip() for scope in scopes.split(",") if scope.strip()]
            key, text = await create_api_key(session, organization, wanted, label, project)
            return key.id, text

    key_id, text = run(create())
    emit(
        {"personal_api_key": text, "id": key_id}, as_json=as_json, text=f"{text}\n(key {key_id}; it is not shown again)"
    )


@keys.command("list")
@verb
def list_keys(
    organization: Annotated[UUID | None, typer.Option(help="Only this organization's.", metavar="ID")] = None,
    as_json: Json = False,
) -> None:
    """List keys, without their text."""

    async def read() -> list[ApiKey]:
        async with open_session() as session:
            return list(await TenantRepository(session).api_keys(organization))

    found = run(read())
    document = [
        {
            "id": key.id,
            "organization_id": key.organization_id,
            "project_ids": key.project_ids,
            "label": key.label,
            "hint": f"…{key.hint}",
            "scopes": key.scopes,
            "created_at": key.created_at.isoformat(),
            "last_used_at": key.last_used_at and key.last_used_at.isoformat(),
            "revoked_at": key.revoked_at and key.revoked_at.isoformat(),
        }
        for key in found
    ]
    lines = [
        f"{key.id}  …{key.hint}  {'revoked' if key.revoked_at else 'live   '}  {','.join(key.scopes)}  {key.label}"
        for key in found
    ]
    emit({"keys": document}, as_json=as_json, text="\n".join(lines) or "no keys")


@keys.command("revoke")
@verb
def revoke_key(key_id: Annotated[UUID, typer.Argument(metavar="ID")], as_json: Json = False) -> None:
    """Revoke a key. It stops working at once."""

    async def revoke() -> bool:
        async with open_session() as session:
            return await TenantRepository(session).revoke_key(key_id, utc_now())

    if not run(revoke()):
        fail(f"There is no key {key_id}; `batch-exports keys list` shows them.")
    emit({"id": key_id, "revoked": True}, as_json=as_json, text=f"key {key_id} is revoked")
