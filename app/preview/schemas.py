"""What an export would write, as the API shows it. No part of the contract."""

from datetime import datetime
from typing import Any

from pydantic import BaseModel, Field


class ColumnRead(BaseModel):
    name: str
    type: str = Field(description="`String`, `JSON`, `Int64`, `Float64`, `Bool`, `DateTime`, `Date`, `Array(String)`.")


class NextRunRead(BaseModel):
    data_interval_start: datetime
    data_interval_end: datetime
    keys: list[str] = Field(
        description="The first objects it would write, manifest included; none where no files are stored."
    )


class EstimateRead(BaseModel):
    """Of one run, on average over the intervals that were looked at."""

    records: float
    bytes: int | None = Field(description="Of its files, compressed as they would be. Null where no files are stored.")
    intervals: int = Field(description="How many of the latest intervals were looked at.")


class PreviewRead(BaseModel):
    columns: list[ColumnRead]
    rows: list[dict[str, Any]] = Field(
        description="Of the latest rows there are, as a reader of the format sees them: JSON is nested in JSON Lines, "
        "and text in Parquet."
    )
    next_runs: list[NextRunRead]
    estimate: EstimateRead | None = Field(description="Null when the rows could not be counted in time.")
    notes: list[str] = Field(description="What there is to say of it.")
