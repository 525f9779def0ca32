"""Notifications: under projects and environments. No part of the contract."""

from typing import Annotated

from fastapi import APIRouter, Depends, Request

from app.http.access import ReadAccess, WriteAccess
from app.http.body import BodyRoute, Draft
from app.http.errors import responses
from app.http.paging import Cursor, CursorPage, cursor_links, page_cursor
from app.http.unit import UnitOfWork
from app.notifications.schemas import AttemptsRead, ChannelsRead, ChannelsWrite, DeliveryRead, SecretRead
from app.notifications.service import NotificationService

router = APIRouter(prefix="/notifications", tags=["notifications"], responses=responses(413), route_class=BodyRoute)


@router.get("/", summary="Retrieve where notifications go")
async def retrieve_notification_channels(unit: UnitOfWork, access: ReadAccess) -> ChannelsRead:
    return await NotificationService(unit, access.project_id).channels()


@router.put("/", summary="Say where notifications go")
async def replace_notification_channels(
    unit: UnitOfWork, access: WriteAccess, body: Draft[ChannelsWrite]
) -> ChannelsRead:
    return await NotificationService(unit, access.project_id).replace(body)


@router.post("/rotate_secret/", summary="Make another secret for the webhook")
async def rotate_webhook_secret(unit: UnitOfWork, access: WriteAccess) -> SecretRead:
    return SecretRead(webhook_secret=await NotificationService(unit, access.project_id).rotate_secret())


@router.post("/test/", summary="Send a test message by every channel")
async def send_test_notification(unit: UnitOfWork, access: WriteAccess) -> AttemptsRead:
    return AttemptsRead(results=await NotificationService(unit, access.project_id).test())


@router.get("/deliveries/", summary="List deliveries, newest first")
async def list_notification_deliveries(
    request: Request, unit: UnitOfWork, access: ReadAccess, cursor: Annotated[Cursor | None, Depends(page_cursor)]
) -> CursorPage[DeliveryRead]:
    deliveries, more = await NotificationService(unit, access.project_id).deliveries(cursor)
    return CursorPage(**cursor_links(request, cursor, deliveries, "created_at", more=more), results=deliveries)
