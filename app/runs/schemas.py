"""Runs, as the API shows them (the contract's section 3.3)."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from app.models import Run, RunStatus


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
