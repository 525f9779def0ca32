"""File downloads: runs that are made once, on demand, into the service's own bucket."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base


class Download(Base):
    """What makes a run a download. The run has an export of its own that is deleted and paused from the start: so it is
    in no list and on no schedule, and nothing but this row leads to it."""

    __tablename__ = "downloads"
    __table_args__ = (
        Index("ix_downloads_project_id_created_at", "project_id", "created_at", "run_id"),
        # What is yet to be cleaned up: of all downloads there ever were, those of some days.
        Index("ix_downloads_kept", "expires_at", postgresql_where=text("removed_at IS NULL")),
    )

    run_id: Mapped[UUID] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    """The id that people know."""
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    expires_at: Mapped[datetime]
    """From then on nobody gets it, and its objects may be deleted."""
    tried_at: Mapped[datetime | None]
    """When somebody last set about deleting them."""
    removed_at: Mapped[datetime | None]
    """When they had been deleted."""
