"""Runs: one window of one export, on its way to the destination. A run exists because its row exists."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, ForeignKey, Index, func, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base, Timestamped
from app.models.enums import RunStatus, SelectBy


class Run(Timestamped, Base):
    __tablename__ = "runs"
    __table_args__ = (
        # Five schedulers and fifty duplicate ticks still make one row per window; so does a repeated backfill pass.
        Index(
            "uq_runs_scheduled_window",
            "export_id",
            "data_interval_start",
            "data_interval_end",
            unique=True,
            postgresql_where=text("backfill_id IS NULL"),
        ),
        Index(
            "uq_runs_backfill_window",
            "backfill_id",
            "data_interval_start",
            "data_interval_end",
            unique=True,
            postgresql_where=text("backfill_id IS NOT NULL"),
            postgresql_nulls_not_distinct=True,
        ),
        # One worker at a time on one window: a run and its retry write under the same names.
        Index(
            "uq_runs_window_held",
            "export_id",
            "data_interval_start",
            "data_interval_end",
            unique=True,
            postgresql_where=text("lease_until IS NOT NULL"),
            postgresql_nulls_not_distinct=True,
        ),
        Index("ix_runs_export_id_created_at", "export_id", "created_at", "id"),
        Index("ix_runs_export_id_data_interval_start", "export_id", "data_interval_start", "id"),
        Index("ix_runs_export_id_status_created_at", "export_id", "status", "created_at", "id"),
        # Whether a backfill is busy, without a look at each of the thousands of runs it may have had.
        Index("ix_runs_backfill_unfinished", "backfill_id", postgresql_where=text("status IN ('Starting', 'Running')")),
        # What workers pull from: unfinished runs, in the order they become ready.
        Index("ix_runs_unfinished", "not_before", "id", postgresql_where=text("status IN ('Starting', 'Running')")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    export_id: Mapped[UUID] = mapped_column(ForeignKey("exports.id"))
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id"))
    backfill_id: Mapped[UUID | None] = mapped_column(ForeignKey("backfills.id"))
    data_interval_start: Mapped[datetime | None]
    data_interval_end: Mapped[datetime]
    select_by: Mapped[str] = mapped_column(default=SelectBy.INGESTED_AT)

    status: Mapped[str] = mapped_column(default=RunStatus.STARTING)
    records_completed: Mapped[int | None] = mapped_column(BigInteger)
    records_failed: Mapped[int | None] = mapped_column(BigInteger)
    records_sanitised: Mapped[int | None] = mapped_column(BigInteger)
    """Of those completed: rows whose JSON held what no reader can read, and were exported without it."""
    records_total_count: Mapped[int | None] = mapped_column(BigInteger)
    bytes_exported: Mapped[int | None] = mapped_column(BigInteger)
    latest_error: Mapped[str | None]
    error_class: Mapped[str | None]
    finished_at: Mapped[datetime | None]

    not_before: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())
    """No attempt starts earlier: the settle delay at first, the backoff after a failed attempt."""
    attempt: Mapped[int] = mapped_column(default=0)
    """Attempts that failed. Losing a worker does not count."""
    failures_alike: Mapped[int] = mapped_column(default=0, server_default="0")
    """Of them, the latest in a row that had the same ``error_class``."""
    epoch: Mapped[int] = mapped_column(BigInteger, default=0)
    """Raised by every claim and never reset. Each write of an attempt is conditional on it."""
    owner: Mapped[str | None]
    """The worker process that holds the lease; for people reading the row."""
    lease_until: Mapped[datetime | None]
    """By the database's clock. Null: nobody holds it."""
    retry_until: Mapped[datetime | None]
    """Until when failed attempts are repeated; set by the first one that fails."""
