"""The SQL of a project's channels, and of deliveries as people see them."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert

from app.db.pages import Order, Place
from app.db.repository import Repository
from app.models import Notification, NotificationChannels, NotificationDelivery

PAGE_SIZE = 100


class ChannelRepository(Repository):
    async def get(self, project_id: int) -> NotificationChannels | None:
        query = select(NotificationChannels).where(NotificationChannels.project_id == project_id)
        return (await self.session.scalars(query)).one_or_none()

    async def lock(self, project_id: int, sealed: bytes, now: datetime) -> NotificationChannels:
        """Until the transaction ends; made with nothing in it, and this secret, where there is none."""
        row = {
            "project_id": project_id,
            "webhook_secret": sealed,
            "emails": [],
            "created_at": now,
            "last_updated_at": now,
        }
        statement = insert(NotificationChannels).values(row)
        await self.session.execute(statement.on_conflict_do_nothing(index_elements=["project_id"]))
        query = select(NotificationChannels).where(NotificationChannels.project_id == project_id)
        return (await self.session.scalars(query.with_for_update())).one()


class DeliveryRepository(Repository):
    async def page(
        self, project_id: int, place: Place | None
    ) -> tuple[Sequence[tuple[NotificationDelivery, Notification]], bool]:
        """Newest first, with what they tell; and whether there are more."""
        mine = select(NotificationDelivery).where(NotificationDelivery.project_id == project_id)
        order = Order(NotificationDelivery.created_at, NotificationDelivery.id, True)
        deliveries, more = await order.page(self.session, mine, place, PAGE_SIZE)
        told = select(Notification).where(Notification.id.in_({one.notification_id for one in deliveries}))
        notifications = {one.id: one for one in await self.session.scalars(told)}
        return [(one, notifications[one.notification_id]) for one in deliveries], more
