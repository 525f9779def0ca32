"""Pieces of JSON that are looked into only where something must be known of them. Pure."""

from typing import Final, TypeAlias, TypeGuard

import msgspec
from msgspec import UNSET, Raw, UnsetType

Maybe: TypeAlias = Raw | UnsetType
"""The text of a member, if there is one."""

NULL: Final = b"null"
TRUE: Final = b"true"
FALSE: Final = b"false"
SHOWN: Final = 64
"""Bytes of a value that a message repeats."""

decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
decode_list = msgspec.json.Decoder(list[Raw]).decode
encode = msgspec.json.Encoder().encode
_decode_text = msgspec.json.Decoder(str).decode


def there(raw: Maybe) -> TypeGuard[Raw]:
    """Whether there is such a member, and it is not null."""
    return raw is not UNSET and not same(raw, NULL)


def same(raw: Maybe, literal: bytes) -> bool:
    return raw is not UNSET and memoryview(raw) == literal


def begins(raw: Maybe, mark: bytes) -> TypeGuard[Raw]:
    """Whether it is an object, a list or a text, by its first character."""
    return raw is not UNSET and memoryview(raw)[:1] == mark


def text_of(raw: Maybe) -> str | None:
    """A text that is not empty; None for anything else."""
    return _decode_text(raw) or None if begins(raw, b'"') else None


def id_of(raw: Maybe) -> str | None:
    """A text that is not blank, or a number's digits; None for anything else."""
    if raw is UNSET:
        return None
    if begins(raw, b'"'):
        text = text_of(raw)
        return text if text and not text.isspace() else None
    digits = bytes(raw)
    return digits.decode() if digits[:1].isdigit() or digits[:1] == b"-" else None


def compact(value: Raw) -> str:
    """Without white space; texts as they are written here, for clients escape them differently. To the last digit."""
    written = encode(_decode_text(value)) if begins(value, b'"') else msgspec.json.format(bytes(value), indent=-1)
    return written.decode()


def shown(raw: Maybe) -> str:
    """For a message."""
    return "missing" if raw is UNSET else bytes(raw)[:SHOWN].decode(errors="replace")
