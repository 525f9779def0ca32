"""Integrations: credentials for a kind of destination, kept once and used by many exports."""

from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Identity, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base, Timestamped


class Integration(Timestamped, Base):
    __tablename__ = "integrations"
    __table_args__ = (Index("ix_integrations_project_id_created_at", "project_id", "created_at", "id"),)

    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    kind: Mapped[str]
    config: Mapped[dict[str, Any]] = mapped_column(JSONB)
    """What is no secret; shown."""
    sensitive_config: Mapped[bytes]
    """The secrets, sealed by ``app.crypto.Cipher``; never shown."""
    created_by: Mapped[UUID | None] = mapped_column(ForeignKey("api_keys.id"))
