"""Why rows may differ that were exported as they should be, and what to do."""

from collections.abc import Mapping
from typing import Final

from app.models import Model, SelectBy

BY_TIMESTAMP: Final = (
    "The run selected events by their own time: events of its window that arrived after it are not in it, and a new "
    "backfill takes them in."
)
BY_INGESTION: Final[Mapping[str, str]] = {
    Model.EVENTS: "The run selected events by when they were ingested, which never changes: unless events have been "
    "deleted, or the export's event filters changed, retry the run.",
    Model.PERSONS: "The run selected persons as they stood when its interval ended, which never changes: unless "
    "versions of them have been deleted, retry the run.",
    Model.SESSIONS: "The run selected sessions as they stood when its interval ended, which never changes: unless "
    "events have been deleted, retry the run.",
    Model.HOGQL: "The query reads events as they are when it is read: those that came or went since are "
    "the difference. Ask for a new download.",
}


def why_rows_differ(model: str, select_by: str) -> str:
    """Whatever a run says, other models than events are selected by when they changed."""
    if select_by == SelectBy.TIMESTAMP and model == Model.EVENTS:
        return BY_TIMESTAMP
    return BY_INGESTION[model]
