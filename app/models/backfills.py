"""Backfills: a range of time exported window by window, strictly one after another."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base, Timestamped
from app.models.enums import BackfillStatus, SelectBy


class Backfill(Timestamped, Base):
    __tablename__ = "backfills"
    __table_args__ = (
        Index("ix_backfills_export_id_created_at", "export_id", "created_at", "id"),
        # As the list orders them: a backfill without a start counts as the earliest.
        Index(
            "ix_backfills_export_id_start_at",
            "export_id",
            text("COALESCE(start_at, '-infinity'::timestamp with time zone)"),
            "id",
        ),
        # At most one unfinished retry of a run, however many ask for one at once.
        Index(
            "uq_backfills_retry_of",
            "retry_of",
            unique=True,
            postgresql_where=text("status IN ('Starting', 'Running')"),
        ),
        Index(
            "ix_backfills_unfinished", "project_id", "id", postgresql_where=text("status IN ('Starting', 'Running')")
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    export_id: Mapped[UUID] = mapped_column(ForeignKey("exports.id"))
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    start_at: Mapped[datetime | None]
    end_at: Mapped[datetime | None]
    adjusted_start_at: Mapped[datetime | None]
    """Where data really begins, on the export's grid."""
    select_by: Mapped[str] = mapped_column(default=SelectBy.TIMESTAMP)
    retry_of: Mapped[UUID | None]
    """The run that this backfill repeats. No foreign key: runs refer to backfills already."""
    status: Mapped[str] = mapped_column(default=BackfillStatus.STARTING)
    next_start: Mapped[datetime | None]
    """The cursor: start of the next window that has no run yet."""
    total_records_count: Mapped[int | None] = mapped_column(BigInteger)
    finished_at: Mapped[datetime | None]
