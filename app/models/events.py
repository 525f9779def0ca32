"""The embedded event store's tables, in a schema of their own: written by ``app.events``, read by a source."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, Computed, Identity, Index, func, text
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
        Index("ix_events_team_id_session_id", "team_id", "session_id", postgresql_where=text("session_id IS NOT NULL")),
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
    session_id: Mapped[str | None] = mapped_column(Computed("event_store.session_id(properties)", persisted=True))
    """Made by the database, whoever writes: sessions are computed by it."""


class Person(Base):
    """One version of a person. Versions are added, never changed: so the rows of any interval can be read again, as
    they were when it ended. The newest is what holds; retention removes those it has replaced."""

    __tablename__ = "persons"
    __table_args__ = (
        Index("ix_persons_team_id_inserted_at", "team_id", "inserted_at"),
        {"schema": EVENT_STORE_SCHEMA},
    )

    team_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    properties: Mapped[str] = mapped_column(JSON)
    created_at: Mapped[datetime]
    is_deleted: Mapped[bool] = mapped_column(server_default=text("false"))
    is_identified: Mapped[bool] = mapped_column(server_default=text("false"))
    """Somebody has said who it is: no other person takes it over any more, unless told to by force."""
    inserted_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class PersonDistinctId(Base):
    """One version of whose a distinct id is; see :class:`Person`."""

    __tablename__ = "person_distinct_ids"
    __table_args__ = (
        Index("ix_person_distinct_ids_team_id_inserted_at", "team_id", "inserted_at"),
        Index("ix_person_distinct_ids_team_id_person_id", "team_id", "person_id"),
        {"schema": EVENT_STORE_SCHEMA},
    )

    team_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    distinct_id: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    person_id: Mapped[UUID]
    is_deleted: Mapped[bool] = mapped_column(server_default=text("false"))
    inserted_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class IngestionError(Base):
    """What was wrong with an event that came by the intake."""

    __tablename__ = "ingestion_errors"
    __table_args__ = (Index("ix_ingestion_errors_team_id_id", "team_id", "id"), {"schema": EVENT_STORE_SCHEMA})

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    team_id: Mapped[int]
    code: Mapped[str]
    detail: Mapped[str]
    stored: Mapped[bool] = mapped_column(server_default=text("false"))
    """Whether the event is in the store all the same, without what was wrong with it."""
    event: Mapped[str | None]
    distinct_id: Mapped[str | None]
    event_uuid: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())


class Retention(Base):
    """From when on the event store is whole, in one row; none while nothing has been deleted."""

    __tablename__ = "retention"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"), {"schema": EVENT_STORE_SCHEMA})

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    pruned_before: Mapped[datetime]
