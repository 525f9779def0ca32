"""Who owns what: organizations, their projects, their API keys."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import ForeignKey, Identity
from sqlalchemy.dialects.postgresql import ARRAY, INTEGER, JSONB, TEXT
from sqlalchemy.orm import Mapped, mapped_column, relationship

from app.db.base import Base, Timestamped


class Organization(Timestamped, Base):
    __tablename__ = "organizations"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]


class Project(Timestamped, Base):
    """Called a team in the contract; ``team_id`` there is ``id`` here."""

    __tablename__ = "projects"

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"), index=True)
    name: Mapped[str]
    token: Mapped[str] = mapped_column(unique=True)
    """What apps send events with. Not a secret: it is in every page."""
    flags: Mapped[dict[str, bool]] = mapped_column(JSONB, default=dict, server_default="{}")
    """Feature flags that were set; one that was not has its default."""


class ApiKey(Timestamped, Base):
    """A personal API key. Only its hash is kept: it is long and random, so a plain SHA-256 cannot be guessed from."""

    __tablename__ = "api_keys"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id"), index=True)
    project_ids: Mapped[list[int] | None] = mapped_column(ARRAY(INTEGER))
    """The projects it is good for; null for all of its organization."""
    label: Mapped[str]
    key_hash: Mapped[bytes] = mapped_column(unique=True)
    hint: Mapped[str]
    """The last four characters, to tell keys apart in a list."""
    scopes: Mapped[list[str]] = mapped_column(ARRAY(TEXT))
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]

    organization: Mapped[Organization] = relationship()
