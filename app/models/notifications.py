"""What people are told of outside the API: where to, what, and how each delivery went."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ARRAY, ForeignKey, Identity, Index, Text, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base, Timestamped
from app.models.enums import DeliveryStatus


class NotificationChannels(Timestamped, Base):
    """Where a project's notifications go. A project without a row has none sent."""

    __tablename__ = "notification_channels"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"), unique=True)
    webhook_url: Mapped[str | None]
    webhook_secret: Mapped[bytes]
    """``{"secret": …}``, sealed by ``app.crypto.Cipher``; null within while there is no webhook."""
    emails: Mapped[list[str]] = mapped_column(ARRAY(Text), default=list)


class Notification(Base):
    """One thing that happened. Written in the transaction in which it happened."""

    __tablename__ = "notifications"
    __table_args__ = (Index("ix_notifications_created_at", "created_at"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    export_id: Mapped[UUID] = mapped_column(ForeignKey("exports.id"))
    kind: Mapped[str]
    dedupe_key: Mapped[str] = mapped_column(unique=True)
    """Of what is told once only; whoever comes second writes nothing."""
    data: Mapped[dict[str, Any]] = mapped_column(JSONB)
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class NotificationDelivery(Base):
    """One notification on its way to one recipient."""

    __tablename__ = "notification_deliveries"
    __table_args__ = (
        Index("ix_notification_deliveries_notification_id", "notification_id"),
        Index("ix_notification_deliveries_project_id_created_at", "project_id", "created_at", "id"),
        # What couriers take from, in the order in which deliveries become due.
        Index("ix_notification_deliveries_waiting", "not_before", "id", postgresql_where=text("status = 'Waiting'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    notification_id: Mapped[UUID] = mapped_column(ForeignKey("notifications.id", ondelete="CASCADE"))
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    channel: Mapped[str]
    recipient: Mapped[str | None]
    """The address of an e-mail. A webhook's URL is the project's at the time."""
    status: Mapped[str] = mapped_column(default=DeliveryStatus.WAITING)
    attempts: Mapped[int] = mapped_column(default=0)
    """Raised by every claim and never reset, so it is the fence of what an attempt writes."""
    not_before: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    lease_until: Mapped[datetime | None]
    """By the database's clock. Null: nobody holds it."""
    latest_error: Mapped[str | None]
    finished_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class UncountedFailure(Base):
    """A scheduled run that failed, until it has been seen whether its export is to be paused for it."""

    __tablename__ = "uncounted_failures"
    __table_args__ = (Index("ix_uncounted_failures_export_id", "export_id"),)

    run_id: Mapped[UUID] = mapped_column(primary_key=True)
    export_id: Mapped[UUID] = mapped_column(ForeignKey("exports.id"))
