"""Integrations: under projects and environments.

A key that may read or write exports may do the same with integrations, whose secrets nobody can read; the scopes
``integration:read`` and ``integration:write`` are good for these alone.
"""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BeforeValidator

from app.errors import NotFound
from app.http.access import IntegrationReadAccess, IntegrationWriteAccess
from app.http.body import BodyRoute, Draft
from app.http.errors import responses
from app.http.paging import OffsetPage, Slice, offset_links, page_slice
from app.http.unit import UnitOfWork
from app.integrations.schemas import IntegrationRead, IntegrationWrite
from app.integrations.service import IntegrationService

MAX_ID = 2**31 - 1
"""Of the column; a greater number names nothing."""

router = APIRouter(prefix="/integrations", tags=["integrations"], responses=responses(413), route_class=BodyRoute)


def _parse_id(text: Any) -> int:
    # The length first: reading thousands of digits is refused by Python itself, with another error.
    if not (isinstance(text, str) and len(text) <= 10 and text.isascii() and text.isdigit() and int(text) <= MAX_ID):
        raise NotFound
    return int(text)


IntegrationId = Annotated[int, BeforeValidator(_parse_id), Path(description="An integration's id.")]


@router.get("/", summary="List integrations")
async def list_integrations(
    request: Request, unit: UnitOfWork, access: IntegrationReadAccess, where: Annotated[Slice, Depends(page_slice)]
) -> OffsetPage[IntegrationRead]:
    integrations, count = await IntegrationService(unit, access).page(where.limit, where.offset)
    return OffsetPage(count=count, results=integrations, **offset_links(request, where, count))


@router.post("/", status_code=201, summary="Create an integration")
async def create_integration(
    unit: UnitOfWork, access: IntegrationWriteAccess, body: Draft[IntegrationWrite]
) -> IntegrationRead:
    return await IntegrationService(unit, access).create(body)


@router.get("/{integration_id}/", summary="Retrieve an integration")
async def retrieve_integration(
    integration_id: IntegrationId, unit: UnitOfWork, access: IntegrationReadAccess
) -> IntegrationRead:
    return await IntegrationService(unit, access).get(integration_id)


@router.delete("/{integration_id}/", status_code=204, summary="Delete an integration")
async def delete_integration(integration_id: IntegrationId, unit: UnitOfWork, access: IntegrationWriteAccess) -> None:
    await IntegrationService(unit, access).delete(integration_id)
