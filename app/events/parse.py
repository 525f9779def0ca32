"""One line of JSON in, one event out, or the reason why not. Pure.

Properties are never decoded: their text goes into the store as it came, to the last digit of every number. What JSON
allows and Postgres cannot store as text, NUL and lone surrogates, is removed; nothing else is touched.
"""

from datetime import datetime
from typing import NamedTuple
from uuid import UUID, uuid4

import msgspec

from app.errors import BatchExportsError
from app.events.rows import EventRow, parse_moment
from app.json_text import SUSPECT, without_unreadable

MAX_LINE_BYTES = 20 * 1024 * 1024
"""A longer line is refused unread: one event must not be able to fill the memory."""


class Rejected(BatchExportsError):
    """The line is no event that can be stored. The message says why."""


class Parsed(NamedTuple):
    row: EventRow
    sanitised: bool
    """NUL or lone surrogates were removed."""


class _Line(msgspec.Struct):
    """What is read of a line. The optional fields beyond the documented ones let an export be loaded again."""

    event: str
    distinct_id: str | int
    uuid: UUID | None = None
    timestamp: str | None = None
    properties: msgspec.Raw = msgspec.Raw(b"{}")
    person_id: UUID | None = None
    person_properties: msgspec.Raw = msgspec.Raw(b"null")
    elements_chain: str | None = None


_decode = msgspec.json.Decoder(_Line).decode


def parse_line(line: bytes, now: datetime) -> Parsed:
    """The event on a line; ``now`` is its timestamp when it has none of its own.

    :raises Rejected: when it is no JSON object, lacks ``event`` or ``distinct_id``, or holds a value of the wrong kind.
    """
    sanitised = False
    if SUSPECT.search(line) is not None:
        clean = without_unreadable(line)
        line, sanitised = clean, clean != line
    try:
        read = _decode(line)
        row = EventRow(
            uuid=read.uuid or uuid4(),
            event=_filled(read.event, "event"),
            distinct_id=_filled(str(read.distinct_id), "distinct_id"),
            person_id=read.person_id,
            properties=_object(read.properties, "properties") or "{}",
            person_properties=_object(read.person_properties, "person_properties"),
            elements_chain=read.elements_chain or "",
            timestamp=_moment(read.timestamp) if read.timestamp is not None else now,
        )
    except msgspec.ValidationError as error:
        raise Rejected(str(error)) from None
    except msgspec.DecodeError as error:
        raise Rejected(f"not valid JSON: {error}") from None
    except UnicodeDecodeError:
        raise Rejected("not valid UTF-8") from None
    except RecursionError:
        raise Rejected("nested too deeply") from None
    return Parsed(row, sanitised)


def _filled(text: str, field: str) -> str:
    if not text:
        raise Rejected(f"'{field}' is empty")
    return text


def _object(raw: msgspec.Raw, field: str) -> str | None:
    """The text of a JSON object; None for null."""
    text = str(memoryview(raw), "utf-8")
    if text.startswith("{"):
        return text
    if text == "null":
        return None
    raise Rejected(f"'{field}' is no object")


def _moment(text: str) -> datetime:
    try:
        return parse_moment(text)
    except ValueError:
        raise Rejected(f"'timestamp' is no ISO 8601 datetime that can be stored: {text[:64]!r}") from None
