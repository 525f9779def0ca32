"""An event on its way from a request into the store."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, NamedTuple

from app.events.rows import EventRow
from app.intake.changes import Change

MAX_NAME: Final = 200
"""Characters of an event's name and of a distinct id. Stores that events go to have columns of this length."""


@dataclass(frozen=True, slots=True)
class Incoming:
    """An event on its way into the store. ``row`` lacks the person, who is found out when it is stored."""

    project_id: int
    row: EventRow
    change: Change | None
    personless: bool
    """Its sender wants no person to be made of it."""


class Context(NamedTuple):
    """What holds for all events of a request."""

    project_id: int
    token: str
    now: datetime
    sent: datetime | None
    max_bytes: int
