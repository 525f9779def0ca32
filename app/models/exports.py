"""Exports: what is exported, where to, how often, and how far the schedule has come."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import ForeignKey, Index, func, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base, Timestamped


def _where_it_begins(context: Any) -> datetime:
    next_start: datetime = context.get_current_parameters()["next_start"]
    return next_start


class Export(Timestamped, Base):
    __tablename__ = "exports"
    __table_args__ = (
        Index(
            "ix_exports_project_id_created_at", "project_id", "created_at", "id", postgresql_where=text("NOT deleted")
        ),
        # What the tick reads: exports whose next window has closed.
        Index("ix_exports_next_start", "next_start", postgresql_where=text("NOT deleted AND NOT paused")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    name: Mapped[str]
    model: Mapped[str] = mapped_column(default="events")

    destination_type: Mapped[str]
    destination_config: Mapped[bytes]
    """The config document, sealed by ``app.crypto.Cipher``."""
    integration_id: Mapped[int | None] = mapped_column(ForeignKey("integrations.id"), index=True)

    interval: Mapped[str]
    timezone: Mapped[str] = mapped_column(default="UTC")
    interval_offset: Mapped[int | None]
    """Seconds: weekday * 86400 + hour * 3600 for ``week``, hour * 3600 for ``day``, else null."""
    start_at: Mapped[datetime | None]
    end_at: Mapped[datetime | None]

    paused: Mapped[bool] = mapped_column(default=False)
    last_paused_at: Mapped[datetime | None]
    deleted: Mapped[bool] = mapped_column(default=False)

    next_start: Mapped[datetime]
    """Start of the first window that has no run yet. Windows before it are accounted for."""
    accounted_from: Mapped[datetime] = mapped_column(default=_where_it_begins, server_default=func.clock_timestamp())
    """Since the schedule was last moved: every window of it in ``[accounted_from, next_start)`` has a run."""

    hogql_query: Mapped[str | None]
    hogql_modifiers: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    primary_key: Mapped[list[str] | None] = mapped_column(JSONB(none_as_null=True))
    version_key: Mapped[list[str] | None] = mapped_column(JSONB(none_as_null=True))
    incremental_mode: Mapped[str] = mapped_column(default="APPEND")
    schema: Mapped[dict[str, Any] | None] = mapped_column(JSONB(none_as_null=True))
    filters: Mapped[list[Any] | None] = mapped_column(JSONB(none_as_null=True))
    last_modified_by: Mapped[UUID | None] = mapped_column(ForeignKey("api_keys.id"))
