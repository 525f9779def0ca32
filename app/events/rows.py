"""An event as it is stored, and what its fields may look like before they are. Pure."""

from datetime import UTC, datetime
from typing import Final, NamedTuple
from uuid import UUID


class EventRow(NamedTuple):
    """An event as it is stored, in the order of :data:`COLUMNS`. JSON columns are text."""

    uuid: UUID
    event: str
    distinct_id: str
    person_id: UUID | None
    properties: str
    person_properties: str | None
    elements_chain: str
    timestamp: datetime


COLUMNS: Final = EventRow._fields


INFINITE: Final = frozenset({datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)})
"""To the database's driver, the first and the last moment there are mean before and after all others."""


def parse_moment(text: str) -> datetime:
    """A moment in ISO 8601; without an offset it is UTC.

    :raises ValueError: when it is none, or outside of the years that there are.
    """
    try:
        moment = datetime.fromisoformat(text)
        return storable((moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(UTC))
    except OverflowError as error:
        raise ValueError(str(error)) from None


def storable(moment: datetime) -> datetime:
    """:raises ValueError: when it would be stored as infinity, which no export could be read with."""
    if moment in INFINITE:
        raise ValueError("the first and the last moment there are cannot be stored")
    return moment
