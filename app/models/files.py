"""The objects that runs leave at destinations which store files. These rows, not a listing, say what is whose."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, ForeignKey, Index, text
from sqlalchemy.orm import Mapped, mapped_column

from app.db.base import Base


class RunFile(Base):
    """One object of one attempt. Announced before it becomes visible, so that whatever a lost worker may have left is
    known; committed together with its run."""

    __tablename__ = "run_files"
    __table_args__ = (
        Index("uq_run_files_run_id_epoch_key", "run_id", "epoch", "key", unique=True),
        # Which other exports write under the same names.
        Index("ix_run_files_location_key", "location", "key"),
        # What lost attempts may have left; of all files there ever were, a handful.
        Index("ix_run_files_uncommitted", "run_id", postgresql_where=text("committed_at IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    run_id: Mapped[UUID] = mapped_column(ForeignKey("runs.id"))
    epoch: Mapped[int] = mapped_column(BigInteger)
    """The attempt that wrote it."""
    location: Mapped[str]
    """The store and its container, ``s3://127.0.0.1:9000/bucket``: a key is the same object there only."""
    key: Mapped[str]
    is_manifest: Mapped[bool] = mapped_column(default=False)
    number: Mapped[int]
    """The place among the files of its run, from 0."""
    rows: Mapped[int | None] = mapped_column(BigInteger)
    bytes: Mapped[int | None] = mapped_column(BigInteger)
    sha256: Mapped[str | None]
    """Of the object as it is stored, in hexadecimal digits."""
    min_timestamp: Mapped[datetime | None]
    max_timestamp: Mapped[datetime | None]
    announced_at: Mapped[datetime]
    committed_at: Mapped[datetime | None]
    replaced_at: Mapped[datetime | None]
    """When a later run of the same interval overwrote or deleted it."""
