"""Callers of the API, and the few words tests speak to it."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession

from app.models import Organization
from app.runtime import Runtime
from app.tenants.service import create_api_key, create_organization, create_project

S3_CONFIG: dict[str, Any] = {
    "bucket_name": "bucket",
    "region": "us-east-1",
    "prefix": "events",
    "aws_access_key_id": "the-access-key",
    "aws_secret_access_key": "the-secret-key",
}
SECRETS = ("the-access-key", "the-secret-key")


@dataclass(frozen=True)
class Tenant:
    organization_id: UUID
    project_id: int
    key: str
    key_id: UUID

    @property
    def base_url(self) -> str:
        return f"http://service.test/api/projects/{self.project_id}"


async def make_tenant(
    session: AsyncSession,
    *,
    organization_id: UUID | None = None,
    scopes: Sequence[str] = ("*",),
    project_ids: Sequence[int] | None = None,
) -> Tenant:
    """A project and a key, of a new organization or of that one."""
    if organization_id is None:
        organization: Organization = await create_organization(session, "Organization")
        organization_id = organization.id
    project = await create_project(session, organization_id, "Project")
    key, text = await create_api_key(session, organization_id, scopes, "Test", project_ids)
    return Tenant(organization_id, project.id, text, key.id)


async def add_tenant(runtime: Runtime, **values: Any) -> Tenant:
    async with runtime.sessions.begin() as session:
        return await make_tenant(session, **values)


@asynccontextmanager
async def open_client(
    app: FastAPI, tenant: Tenant, *, base_url: str | None = None, raises: bool = True
) -> AsyncIterator[httpx.AsyncClient]:
    """At the tenant's project, with its key. ``raises``: an error in the application is the test's own."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app, raise_app_exceptions=raises),
        base_url=base_url or tenant.base_url,
        headers={"Authorization": f"Bearer {tenant.key}"},
    ) as client:
        yield client


def no_op(**fields: Any) -> dict[str, Any]:
    """The body of a create."""
    return {"name": "Export", "interval": "hour", "destination": {"type": "NoOp", "config": {}}, **fields}


def s3(config: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """The body of a create, with secrets in it; keys of ``config`` that are None are left out."""
    merged = {key: value for key, value in {**S3_CONFIG, **(config or {})}.items() if value is not None}
    return no_op(destination={"type": "S3", "config": merged}, **fields)


async def created(client: httpx.AsyncClient, body: dict[str, Any]) -> dict[str, Any]:
    answer = await client.post("/batch_exports/", json=body)
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


def error(kind: str, code: str, detail: str, attr: str | None = None) -> dict[str, str | None]:
    return {"type": kind, "code": code, "detail": detail, "attr": attr}


def invalid(detail: str, attr: str | None = None, code: str = "invalid_input") -> dict[str, str | None]:
    """The body of a 400 for a wrong field."""
    return error("validation_error", code, detail, attr)


NOT_FOUND = error("invalid_request", "not_found", "Not found.")
EMPTY_PAGE: dict[str, Any] = {"next": None, "previous": None, "results": []}


def refused(answer: httpx.Response) -> tuple[int, Any]:
    """Status and body at once, so that one comparison shows both."""
    return answer.status_code, answer.json()
