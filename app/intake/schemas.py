"""What was wrong with events, as the API shows it."""

from datetime import datetime

from pydantic import BaseModel, Field


class IngestionErrorRead(BaseModel):
    id: int
    code: str
    detail: str
    stored: bool = Field(description="Whether the event is stored all the same, without what is wrong with it.")
    event: str | None = Field(description="The event's name, cut to 200 characters like the other texts.")
    distinct_id: str | None
    event_uuid: str | None
    created_at: datetime
