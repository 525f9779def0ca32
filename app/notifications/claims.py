"""Who delivers a notification: claims by the database's clock, each write fenced by the number of its attempt."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

from sqlalchemy import func, or_, select, update
from sqlalchemy.sql.dml import Update

from app.db.repository import Repository
from app.models import DeliveryStatus, Notification, NotificationChannels, NotificationDelivery
from app.notifications.messages import Message

NOW = func.clock_timestamp()


@dataclass(frozen=True, slots=True)
class Parcel:
    """One attempt at one delivery. The secret is still sealed."""

    delivery_id: UUID
    attempt: int
    age: timedelta
    """Since it was written, at the time of the claim."""
    channel: str
    recipient: str | None
    webhook_url: str | None
    webhook_secret: bytes | None
    message: Message


class ParcelRepository(Repository):
    async def claim(self, limit: int, lease: timedelta) -> Sequence[Parcel]:
        """Take what has been due longest: never tried, due again, or left by a courier that is gone."""
        row = NotificationDelivery
        free = or_(row.lease_until.is_(None), row.lease_until < NOW)
        due = (
            select(row.id)
            .where(row.status == DeliveryStatus.WAITING, row.not_before <= NOW, free)
            .order_by(row.not_before, row.id)
            .limit(limit)
            .with_for_update(skip_locked=True)
            .scalar_subquery()
        )
        statement = (
            update(row)
            .where(row.id.in_(due))
            .values(lease_until=NOW + lease, attempts=row.attempts + 1)
            .returning(row.id)
            .execution_options(synchronize_session=False)
        )
        if not (claimed := (await self.session.scalars(statement)).all()):
            return []
        query = (
            select(row, Notification, NotificationChannels, NOW - row.created_at)
            .join(Notification, Notification.id == row.notification_id)
            .outerjoin(NotificationChannels, NotificationChannels.project_id == row.project_id)
            .where(row.id.in_(claimed))
        )
        return [
            Parcel(
                delivery_id=delivery.id,
                attempt=delivery.attempts,
                age=age,
                channel=delivery.channel,
                recipient=delivery.recipient,
                webhook_url=channels and channels.webhook_url,
                webhook_secret=channels and channels.webhook_secret,
                message=Message(told.id, told.kind, told.data, told.created_at),
            )
            for delivery, told, channels, age in await self.session.execute(query)
        ]

    async def delivered(self, parcel: Parcel) -> None:
        await self._write(
            _held(parcel).values(status=DeliveryStatus.DELIVERED, lease_until=None, finished_at=NOW, latest_error=None)
        )

    async def give_up(self, parcel: Parcel, reason: str) -> None:
        await self._write(
            _held(parcel).values(status=DeliveryStatus.GIVEN_UP, lease_until=None, finished_at=NOW, latest_error=reason)
        )

    async def retry_later(self, parcel: Parcel, reason: str, delay: timedelta) -> None:
        await self._write(_held(parcel).values(lease_until=None, not_before=NOW + delay, latest_error=reason))

    async def _write(self, statement: Update) -> None:
        await self.session.execute(statement.execution_options(synchronize_session=False))


def _held(parcel: Parcel) -> Update:
    """The row is still this attempt's: not claimed since."""
    row = NotificationDelivery
    return update(row).where(
        row.id == parcel.delivery_id, row.attempts == parcel.attempt, row.status == DeliveryStatus.WAITING
    )
