"""The short way for events that are as SDKs make them: nearly all. Pure.

Whatever is unusual about an event is left to :mod:`app.intake.events`, which decides the same of any event, only in
several times the time.
"""

from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec
from msgspec import UNSET, Meta, Raw

from app.events.rows import EventRow
from app.intake.changes import ALIASES, IDENTIFY, Notes, Says, change_of
from app.intake.incoming import MAX_NAME, Context, Incoming
from app.intake.raw import Maybe
from app.intake.timestamps import FUTURE

Name = Annotated[str, Meta(min_length=1, max_length=MAX_NAME)]


class _Plain(Says):
    """Without one of the required members it is not plain."""

    event: Name = msgspec.field(default="")
    distinct_id: Name = msgspec.field(default="")
    uuid: UUID | None = None
    timestamp: datetime | None = None
    properties: Raw = Raw(b"")
    api_key: str | None = None
    token: str | None = None


class _Properties(Says):
    token: str | None = None
    elements_chain: str | None = msgspec.field(default=None, name="$elements_chain")
    profile: Maybe = msgspec.field(default=UNSET, name="$process_person_profile")
    ignore_sent_at: Maybe = msgspec.field(default=UNSET, name="$ignore_sent_at")


_decode = msgspec.json.Decoder(_Plain).decode
_decode_properties = msgspec.json.Decoder(_Properties).decode
_NOTHING: Final = Says()
_MERGES: Final = ALIASES | {IDENTIFY}
_YEARS: Final = range(2, 9999)
"""Far enough from the ends of time that no clock's skew leads there."""


def parse_plain(raw: Raw, context: Context) -> Incoming | None:
    """The event, if there is nothing unusual about it."""
    try:
        read = _decode(raw)
        properties = _decode_properties(read.properties)
        text = str(memoryview(read.properties), "utf-8")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    timestamp = read.timestamp
    if (
        (read.uuid is None or timestamp is None or not read.event or not read.distinct_id)
        or (read.set is not UNSET or read.set_once is not UNSET or read.unset is not UNSET)
        or (properties.profile is not UNSET or properties.ignore_sent_at is not UNSET)
        or (read.event in _MERGES or read.distinct_id.isspace() or timestamp.year not in _YEARS)
        or not {read.api_key, read.token, properties.token} <= {None, context.token}
    ):
        return None
    moment = timestamp.astimezone(UTC) if timestamp.tzinfo is not None else timestamp.replace(tzinfo=UTC)
    if context.sent is not None:
        moment += context.now - context.sent
    if moment > context.now + FUTURE:
        return None
    change = None
    if properties.set is not UNSET or properties.set_once is not UNSET or properties.unset is not UNSET:
        notes = Notes()
        change = change_of(read.event, _NOTHING, properties, UNSET, UNSET, notes)
        if notes:
            return None
    row = EventRow(read.uuid, read.event, read.distinct_id, None, text, None, properties.elements_chain or "", moment)
    return Incoming(context.project_id, row, change, personless=False)
