"""Notifications of an export, written as the service writes them, and what became of them."""

from typing import Any
from uuid import UUID

from sqlalchemy import select

from app.models import Export, Notification, NotificationDelivery, Project
from app.notifications.courier import Courier
from app.notifications.notices import Kind, Notice
from app.notifications.outbox import Outbox
from app.runtime import Runtime
from tests.factories import make_export

DATA: dict[str, Any] = {
    "run_id": "0190a5a8-0000-7000-8000-000000000001",
    "data_interval_start": "2026-06-01T11:00:00Z",
    "data_interval_end": "2026-06-01T12:00:00Z",
    "status": "Failed",
    "error": "Misconfigured: Bucket 'b' does not exist",
}


async def add_export(runtime: Runtime, project_id: int, **values: Any) -> Export:
    async with runtime.sessions.begin() as session:
        project = await session.get_one(Project, project_id)
        return await make_export(session, runtime.cipher, project, **values)


async def tell(runtime: Runtime, export: Export, kind: Kind = Kind.RUN_FAILED, **data: Any) -> list[Notice]:
    async with runtime.sessions.begin() as session:
        notice = Notice.daily(kind, export, runtime.clock(), **{**DATA, **data})
        return await Outbox(session).add([notice], runtime.clock())


async def deliver(runtime: Runtime) -> int:
    return await Courier(runtime).deliver_due()


async def notifications(runtime: Runtime) -> list[Notification]:
    async with runtime.sessions() as session:
        return list(await session.scalars(select(Notification).order_by(Notification.created_at)))


async def deliveries(runtime: Runtime) -> list[NotificationDelivery]:
    async with runtime.sessions() as session:
        return list(await session.scalars(select(NotificationDelivery).order_by(NotificationDelivery.channel)))


async def delivery(runtime: Runtime, delivery_id: UUID) -> NotificationDelivery:
    async with runtime.sessions() as session:
        return await session.get_one(NotificationDelivery, delivery_id)
