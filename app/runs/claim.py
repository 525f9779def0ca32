"""One attempt at one run."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.integrations.linked import SealedIntegration


@dataclass(frozen=True, slots=True)
class Claim:
    """One attempt at one run, with all it needs to know of its export. The config is still sealed."""

    run_id: UUID
    epoch: int
    attempt: int
    export_id: UUID
    project_id: int
    backfill_id: UUID | None
    model: str
    destination_type: str
    destination_config: bytes
    start: datetime | None
    end: datetime
    select_by: str
    interval: str
    lease_ttl: timedelta
    asked: float
    """When the claim was asked for, as :func:`app.clocks.elapsing` counts: the lease runs at the latest from then."""
    claimed_at: datetime
    """By the database's clock."""
    filters: Sequence[Any] | None
    hogql_query: str | None
    error_class: str | None = None
    """Of the attempt before, if one failed."""
    failures_alike: int = 0
    """Attempts right before this one that failed with that class."""
    retry_until: datetime | None = None
    """Until when failed attempts are repeated; None: none has failed yet."""
    integration: SealedIntegration | None = None
    """The export's, if it has one."""
