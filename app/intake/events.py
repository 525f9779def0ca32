"""One event of a request: what is stored of it, or why it is not. Pure.

Properties stay the text that came, to the last digit of every number; only what says something about persons is read.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

import msgspec
from msgspec import UNSET, Raw

from app.events.rows import EventRow
from app.intake import timestamps
from app.intake.changes import OF_PERSONS, Notes, Says, change_of, with_outer
from app.intake.incoming import MAX_NAME, Context, Incoming
from app.intake.plain import parse_plain
from app.intake.problems import Code, Problem
from app.intake.raw import FALSE, TRUE, Maybe, begins, id_of, same, shown, text_of, there

EMPTY: Final = b'""'


class Rejected(Exception):
    """The event cannot be stored. Caught in here."""

    def __init__(self, code: Code, detail: str) -> None:
        self.code = code
        self.detail = detail


class _Event(Says):
    event: Maybe = UNSET
    distinct_id: Maybe = UNSET
    dollar_distinct_id: Maybe = msgspec.field(default=UNSET, name="$distinct_id")
    uuid: Maybe = UNSET
    timestamp: Maybe = UNSET
    offset: Maybe = UNSET
    properties: Maybe = UNSET
    api_key: Maybe = UNSET
    token: Maybe = UNSET


class _Properties(Says):
    """Those that are read. All others are passed over, and stay in the text."""

    distinct_id: Maybe = UNSET
    token: Maybe = UNSET
    alias: Maybe = UNSET
    anonymous: Maybe = msgspec.field(default=UNSET, name="$anon_distinct_id")
    profile: Maybe = msgspec.field(default=UNSET, name="$process_person_profile")
    elements_chain: Maybe = msgspec.field(default=UNSET, name="$elements_chain")
    ignore_sent_at: Maybe = msgspec.field(default=UNSET, name="$ignore_sent_at")


_decode_event = msgspec.json.Decoder(_Event).decode
_decode_properties = msgspec.json.Decoder(_Properties).decode


def parse_event(raw: Raw, context: Context) -> tuple[Incoming | None, Sequence[Problem]]:
    """The event, unless it cannot be stored, and what is wrong with it."""
    read, notes = _Event(), Notes()
    try:
        if len(memoryview(raw)) > context.max_bytes:
            raise Rejected(Code.TOO_LARGE, f"The event is larger than {context.max_bytes} bytes.")
        if (plain := parse_plain(raw, context)) is not None:
            return plain, ()
        if not begins(raw, b"{"):
            raise Rejected(Code.INVALID_EVENT, "The event is no JSON object.")
        read = _decode_event(raw)
        return _incoming(read, context, notes), [_problem(read, context, *one) for one in notes]
    except Rejected as rejected:
        return None, (_problem(read, context, rejected.code, rejected.detail),)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # It is JSON, for the body was: but not UTF-8, or nested as deeply as could just be passed over.
        return None, (Problem(context.project_id, Code.INVALID_EVENT, "The event is not UTF-8, or nested too deeply."),)


def _incoming(read: _Event, context: Context, notes: Notes) -> Incoming:
    name = text_of(read.event)
    if name is None:
        raise Rejected(Code.MISSING_EVENT, "'event' is missing, empty, or no text.")
    if len(name) > MAX_NAME:
        raise Rejected(Code.EVENT_TOO_LONG, f"'event' is longer than {MAX_NAME} characters.")
    text = _object(read.properties)
    properties = _decode_properties(text)
    if any(token not in (None, context.token) for token in map(text_of, (read.api_key, read.token, properties.token))):
        raise Rejected(Code.OTHER_TOKEN, "The event names another project than its request.")
    row = EventRow(
        uuid=_uuid(read.uuid),
        event=name,
        distinct_id=_distinct_id(read, properties),
        person_id=None,
        properties=with_outer(text, read),
        person_properties=None,
        elements_chain=text_of(properties.elements_chain) or "",
        timestamp=_timestamp(read, properties, context, notes),
    )
    personless = same(properties.profile, FALSE)
    if personless:
        if name in OF_PERSONS:
            notes.append((Code.PERSONLESS, f"{name} says something of a person, and asks for none to be made."))
        return Incoming(context.project_id, row, None, personless)
    change = change_of(name, read, properties, properties.alias, properties.anonymous, notes)
    return Incoming(context.project_id, row, change, personless)


def _object(raw: Maybe) -> str:
    if not there(raw):
        return "{}"
    if not begins(raw, b"{"):
        raise Rejected(Code.INVALID_PROPERTIES, "'properties' is no object.")
    return str(memoryview(raw), "utf-8")


def _distinct_id(read: _Event, properties: _Properties) -> str:
    for raw in (read.distinct_id, read.dollar_distinct_id, properties.distinct_id):
        if (found := id_of(raw)) is not None:
            if len(found) > MAX_NAME:
                raise Rejected(Code.DISTINCT_ID_TOO_LONG, f"'distinct_id' is longer than {MAX_NAME} characters.")
            return found
    raise Rejected(Code.MISSING_DISTINCT_ID, "'distinct_id' is missing, blank, or neither a text nor a number.")


def _uuid(raw: Maybe) -> UUID:
    if not there(raw) or same(raw, EMPTY):
        return uuid4()
    try:
        return UUID(text_of(raw) or "")
    except ValueError:
        raise Rejected(Code.INVALID_UUID, "'uuid' is no UUID; leave it out to have one made.") from None


def _timestamp(read: _Event, properties: _Properties, context: Context, notes: Notes) -> datetime:
    text = None
    if there(read.timestamp) and not same(read.timestamp, EMPTY):
        text = text_of(read.timestamp) or shown(read.timestamp)
    sent = None if same(properties.ignore_sent_at, TRUE) else context.sent
    moment, wrong = timestamps.happened(text, _number(read.offset), sent, context.now)
    if wrong is not None:
        said = shown(read.timestamp if text is not None else read.offset)
        notes.append((wrong, f"{said} was not taken as the event's time; that of its arrival was."))
    return moment


def _number(raw: Maybe) -> float | None:
    try:
        return float(bytes(raw)) if there(raw) else None
    except ValueError:
        return None


def _problem(read: _Event, context: Context, code: Code, detail: str) -> Problem:
    return Problem(
        context.project_id, code, detail, _for_people(read.event), _for_people(read.distinct_id), _for_people(read.uuid)
    )


def _for_people(raw: Maybe) -> str | None:
    if not there(raw):
        return None
    try:
        return text_of(raw) if begins(raw, b'"') else shown(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
