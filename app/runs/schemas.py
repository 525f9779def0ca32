"""Runs, as the API shows them (the contract's section 3.3)."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, Field

from app.models import Run, RunFile, RunStatus


class RunRead(BaseModel):
    id: UUID
    status: RunStatus
    records_completed: int | None
    records_failed: int | None
    latest_error: str | None
    data_interval_start: datetime | None
    data_interval_end: datetime
    cursor: str | None = None
    created_at: datetime
    finished_at: datetime | None
    last_updated_at: datetime
    records_total_count: int | None
    bytes_exported: int | None
    batch_export: UUID
    batch_export_on_demand: UUID | None = None
    backfill: UUID | None
    select_by: str

    @classmethod
    def of(cls, run: Run) -> "RunRead":
        return cls(
            id=run.id,
            status=RunStatus(run.status),
            records_completed=run.records_completed,
            records_failed=run.records_failed,
            latest_error=run.latest_error,
            data_interval_start=run.data_interval_start,
            data_interval_end=run.data_interval_end,
            created_at=run.created_at,
            finished_at=run.finished_at,
            last_updated_at=run.last_updated_at,
            records_total_count=run.records_total_count,
            bytes_exported=run.bytes_exported,
            batch_export=run.export_id,
            backfill=run.backfill_id,
            select_by=run.select_by,
        )


class RunCancelled(BaseModel):
    cancelled: bool = True


class FileRead(BaseModel):
    id: UUID
    key: str
    rows: int
    bytes: int
    sha256: str = Field(description="Of the object as it is stored, in hexadecimal digits.")
    min_timestamp: datetime | None = Field(description="The least `timestamp` of its rows.")
    max_timestamp: datetime | None = Field(description="The greatest `timestamp` of its rows.")
    replaced_at: datetime | None = Field(
        description="When a later run of the same interval overwrote or deleted it; null while it is there."
    )


class FilesRead(BaseModel):
    """The objects that a run has left; none before it is completed."""

    location: str | None = Field(description="The store and the bucket that they are in.")
    results: list[FileRead]
    manifest: str | None = Field(description="The manifest's key, where the export has one.")
    records_sanitised: int | None = Field(
        description="Rows whose JSON held what no reader can read (NUL, half a surrogate pair), exported without it."
    )

    @classmethod
    def of(cls, run: Run, files: Sequence[RunFile]) -> "FilesRead":
        return cls(
            location=files[0].location if files else None,
            results=[FileRead.model_validate(file, from_attributes=True) for file in files if not file.is_manifest],
            manifest=next((file.key for file in files if file.is_manifest), None),
            records_sanitised=run.records_sanitised,
        )
