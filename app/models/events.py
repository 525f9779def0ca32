"""The embedded event store's tables, in a schema of their own: written by ``app.events``, read by a source."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import Index, func
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base

EVENT_STORE_SCHEMA = "event_store"


class Event(Base):
    """One event. JSON columns are ``json``, not ``jsonb``: the text is kept as it came, to the last digit, and is read
    back without being printed anew."""

    __tablename__ = "events"
    __table_args__ = (
        Index("ix_events_team_id_inserted_at", "team_id", "inserted_at"),
        Index("ix_events_team_id_timestamp", "team_id", "timestamp"),
        {"schema": EVENT_STORE_SCHEMA},
    )

    team_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    uuid: Mapped[UUID] = mapped_column(primary_key=True)
    event: Mapped[str]
    distinct_id: Mapped[str]
    person_id: Mapped[UUID | None]
    properties: Mapped[str] = mapped_column(JSON)
    person_properties: Mapped[str | None] = mapped_column(JSON)
    elements_chain: Mapped[str] = mapped_column(server_default="")
    timestamp: Mapped[datetime]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    inserted_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    """Ingestion time: what scheduled runs select by."""
