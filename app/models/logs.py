"""Log lines that runs write for the people whose exports they are."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Identity, Index
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base


class LogEntry(Base):
    """No foreign keys: lines are written in batches beside the runs, and pruned by age alone."""

    __tablename__ = "log_entries"
    __table_args__ = (
        Index("ix_log_entries_export_id_timestamp", "export_id", "timestamp", "id"),
        Index("ix_log_entries_run_id_timestamp", "run_id", "timestamp", "id"),
        Index("ix_log_entries_timestamp", "timestamp"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    export_id: Mapped[UUID]
    run_id: Mapped[UUID | None]
    """Null: a line about the export itself."""
    timestamp: Mapped[datetime]
    level: Mapped[str]
    message: Mapped[str]
