"""What may be wrong with an event, and whether it is stored all the same. Documented in ``docs/intake.md``."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_TEXT: Final = 200
"""Characters of each text that is kept: enough to find the sender, too little to fill a disk with."""


class Code(StrEnum):
    """Names are PostHog's where it has one for the same thing."""

    INVALID_EVENT = "invalid_event"
    MISSING_EVENT = "missing_event_name"
    EVENT_TOO_LONG = "event_name_too_long"
    MISSING_DISTINCT_ID = "missing_distinct_id"
    DISTINCT_ID_TOO_LONG = "distinct_id_too_long"
    INVALID_UUID = "invalid_event_uuid"
    INVALID_PROPERTIES = "invalid_properties"
    OTHER_TOKEN = "multiple_tokens"  # noqa: S105  a name, not a password
    TOO_LARGE = "message_size_too_large"
    UNSTORABLE = "unstorable"
    MORE = "more_errors"

    INVALID_TIMESTAMP = "ignored_invalid_timestamp"
    FUTURE_TIMESTAMP = "event_timestamp_in_future"
    INVALID_PERSON_PROPERTIES = "invalid_person_properties"
    PERSON_TOO_LARGE = "person_properties_size_too_large"
    ILLEGAL_MERGE = "cannot_merge_with_illegal_distinct_id"
    ALREADY_IDENTIFIED = "cannot_merge_already_identified"
    PERSONLESS = "invalid_event_when_process_person_profile_is_false"

    @property
    def stored(self) -> bool:
        """Whether the event is stored, without what is wrong with it."""
        return self in STORED


STORED: Final = frozenset(
    {
        Code.INVALID_TIMESTAMP,
        Code.FUTURE_TIMESTAMP,
        Code.INVALID_PERSON_PROPERTIES,
        Code.PERSON_TOO_LARGE,
        Code.ILLEGAL_MERGE,
        Code.ALREADY_IDENTIFIED,
        Code.PERSONLESS,
    }
)


@dataclass(frozen=True, slots=True)
class Problem:
    """Of its event nothing is kept but what tells it from others: never its properties."""

    project_id: int
    code: Code
    detail: str
    event: str | None = None
    distinct_id: str | None = None
    event_uuid: str | None = None
    count: int = 1
    """Of events that it stands for."""

    def row(self) -> tuple[int, str, str, bool, str | None, str | None, str | None]:
        about = (_short(self.event), _short(self.distinct_id), _short(self.event_uuid))
        return (self.project_id, self.code.value, _short(self.detail) or "", self.code.stored, *about)


def _short(text: str | None) -> str | None:
    if text is None:
        return None
    clean = text.replace("\x00", "").encode("utf-8", "replace").decode()
    return clean if len(clean) <= MAX_TEXT else f"{clean[: MAX_TEXT - 1]}…"
