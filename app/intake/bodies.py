"""From the bytes of a request to the texts of its events. Pure.

Clients pack JSON in several ways, and name them in several places: a header, the query, a field of a form. What is
really there can be told from its first bytes, whatever is said of it; so that is what is gone by.
"""

import base64
import binascii
import zlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final
from urllib.parse import parse_qs

import msgspec
from msgspec import UNSET, Raw

from app.errors import BodyTooLarge
from app.intake.errors import UnreadableBody
from app.intake.raw import Maybe, begins, decode_list, text_of
from app.json_text import SUSPECT, without_unreadable

GZIP: Final = b"\x1f\x8b"
LAYERS: Final = 4
"""A form whose field is base64 of gzip of JSON is the deepest that any client sends."""
CHUNK: Final = 256 * 1024
MAX_VALUES: Final = 2_000_000
"""Commas. A list of so many numbers would take more memory than any request may, before it is known how many."""
FORM: Final = "application/x-www-form-urlencoded"
UNREADABLE: Final = "The body is no JSON, nor anything that JSON is packed in: gzip, base64, or a form's field `data`."


@dataclass(frozen=True, slots=True)
class Envelope:
    """What a request says of all its events, and the text of each."""

    token: str | None
    sent_at: str | None
    events: Sequence[Raw]
    size: int
    """Bytes of text that the events are parts of."""


class _Tokens(msgspec.Struct):
    """Where an object may name its project."""

    api_key: Maybe = UNSET
    token: Maybe = UNSET
    dollar_token: Maybe = msgspec.field(default=UNSET, name="$token")

    def first(self) -> str | None:
        return text_of(self.api_key) or text_of(self.token) or text_of(self.dollar_token)


class _Event(_Tokens):
    properties: Maybe = UNSET


class _Object(_Event):
    batch: Maybe = UNSET
    sent_at: Maybe = UNSET


_decode_object = msgspec.json.Decoder(_Object).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_tokens = msgspec.json.Decoder(_Tokens).decode


def read_body(
    body: bytes, encoding: str, limit: int, max_events: int, hold: Callable[[int], None] = lambda size: None
) -> Envelope:
    """``encoding`` is the header ``Content-Encoding``. ``hold`` is told of every further byte before it is made.

    :raises UnreadableBody: when it is no JSON, or neither an object nor a list.
    :raises BodyTooLarge: when it is longer than ``limit`` once decompressed, or has more events than that.
    """
    text = unpacked(body, encoding, limit, hold)
    if SUSPECT.search(text) is not None:
        text = without_unreadable(text)
    if text.count(b",") > MAX_VALUES:
        raise BodyTooLarge(f"The body has more than {MAX_VALUES} values. Send it in several requests.")
    try:
        envelope = _list(text) if text.startswith(b"[") else _object(text)
    except msgspec.DecodeError as error:
        raise UnreadableBody(f"JSON parse error - {error}") from None
    except (RecursionError, UnicodeDecodeError):
        raise UnreadableBody("JSON parse error - it is nested too deeply, or not UTF-8") from None
    if len(envelope.events) > max_events:
        raise BodyTooLarge(f"The body has more than {max_events} events. Send them in several requests.")
    return envelope


def unpacked(body: bytes, encoding: str, limit: int, hold: Callable[[int], None] = lambda size: None) -> bytes:
    """The JSON in a body: what begins with a brace or a bracket."""
    match encoding.strip().lower():
        case "" | "identity" | "gzip" | "x-gzip":
            pass
        case "deflate":
            body = _inflated(body, zlib.MAX_WBITS, limit, hold)
        case _:
            raise UnreadableBody(f"Content-Encoding {encoding[:32]!r} is not read here; send gzip, deflate or none.")
    for _ in range(LAYERS):
        if body.startswith(GZIP):
            body = _inflated(body, zlib.MAX_WBITS | 16, limit, hold)
        body = body.strip()
        if body.startswith((b"{", b"[")):
            return body
        if not body.startswith(GZIP):
            hold(len(body))
            body = _field(body) if b"data=" in body[:4096] else _debased(body)
    raise UnreadableBody(UNREADABLE)


def _inflated(body: bytes, window: int, limit: int, hold: Callable[[int], None]) -> bytes:
    """A few bytes may stand for gigabytes: so it is made piece by piece, and no further than ``limit``."""
    engine, pieces, size, rest = zlib.decompressobj(window), [], 0, body
    try:
        while not engine.eof:
            piece = engine.decompress(rest, CHUNK)
            if not piece and not engine.unconsumed_tail and not engine.eof:
                raise UnreadableBody("The compressed body ends in the middle.")
            hold(len(piece))
            size += len(piece)
            if size > limit:
                raise BodyTooLarge(f"The request body is larger than {limit} bytes once decompressed.")
            pieces.append(piece)
            rest = engine.unconsumed_tail
    except zlib.error as error:
        raise UnreadableBody(f"The body cannot be decompressed: {error}") from None
    return b"".join(pieces)


def _field(body: bytes) -> bytes:
    """The field ``data`` of a form."""
    try:
        fields = parse_qs(body.decode("ascii"), max_num_fields=16)
    except (ValueError, UnicodeDecodeError):
        raise UnreadableBody("The form cannot be read.") from None
    if "data" not in fields:
        raise UnreadableBody(UNREADABLE)
    # Base64 that was put into a form as it is has its pluses taken for spaces.
    data = fields["data"][0]
    return (data if data.lstrip()[:1] in ("{", "[") else data.replace(" ", "+")).encode("utf-8", "surrogatepass")


def _debased(body: bytes) -> bytes:
    try:
        return base64.b64decode(body.translate(_URL_SAFE) + b"=" * (-len(body) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise UnreadableBody(UNREADABLE) from None


_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")


def _object(text: bytes) -> Envelope:
    found = _decode_object(text)
    if found.batch is UNSET:
        return Envelope(_token(found), text_of(found.sent_at), (Raw(text),), len(text))
    if not begins(found.batch, b"["):
        raise UnreadableBody("'batch' is no list of events.")
    events = decode_list(found.batch)
    return Envelope(_token(found) or _first_token(events), text_of(found.sent_at), events, len(text))


def _list(text: bytes) -> Envelope:
    events = decode_list(text)
    return Envelope(_first_token(events), None, events, len(text))


def _first_token(events: Sequence[Raw]) -> str | None:
    """Browsers send bare lists, in which every event names its project."""
    for event in events[:1]:
        with suppress(msgspec.ValidationError, UnicodeDecodeError):
            return _token(_decode_event(event))
    return None


def _token(found: _Event) -> str | None:
    own = found.first()
    if own is not None or not begins(found.properties, b"{"):
        return own
    return _decode_tokens(found.properties).first()
