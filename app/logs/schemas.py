"""Log lines, as the API shows them (the contract's section 8)."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel

from app.logs.lines import Level
from app.models import LogEntry


class LogRead(BaseModel):
    log_source_id: UUID
    """The export."""
    instance_id: str
    """The run; the export's own id for a line about the export itself."""
    timestamp: datetime
    level: Level
    message: str

    @classmethod
    def of(cls, entry: LogEntry) -> "LogRead":
        return cls(
            log_source_id=entry.export_id,
            instance_id=str(entry.run_id or entry.export_id),
            timestamp=entry.timestamp,
            level=Level(entry.level),
            message=entry.message,
        )
