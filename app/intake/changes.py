"""What an event says of its person. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec
from msgspec import UNSET, Raw

from app.intake.problems import Code
from app.intake.raw import Maybe, begins, compact, decode_list, decode_members, encode, id_of, text_of, there

FORCED: Final = "$merge_dangerously"
ALIASES: Final = frozenset({"$create_alias", FORCED})
IDENTIFY: Final = "$identify"
OF_PERSONS: Final = ALIASES | {IDENTIFY, "$set", "$unset", "$groupidentify"}
"""What means nothing without a person."""


class Merge(NamedTuple):
    """``other`` is the same person as the event's own distinct id."""

    other: str
    forced: bool
    """Even if somebody has said who the other one is."""


@dataclass(frozen=True, slots=True)
class Change:
    """Values are JSON without white space."""

    set: Mapping[str, str]
    set_once: Mapping[str, str]
    unset: Sequence[str]
    merge: Merge | None


class Says(msgspec.Struct):
    """The members that speak of the person; of an event, and of its properties."""

    set: Maybe = msgspec.field(default=UNSET, name="$set")
    set_once: Maybe = msgspec.field(default=UNSET, name="$set_once")
    unset: Maybe = msgspec.field(default=UNSET, name="$unset")


class Notes(list[tuple[Code, str]]):
    """What was found to be wrong on the way, and did not matter enough to refuse the event."""


def change_of(name: str, outer: Says, inner: Says, alias: Maybe, anonymous: Maybe, notes: Notes) -> Change | None:
    """``outer`` stands beside the properties, ``inner`` among them and before it. None: nothing is said."""
    to_set = {**_members("$set", outer.set, notes), **_members("$set", inner.set, notes)}
    once = {**_members("$set_once", outer.set_once, notes), **_members("$set_once", inner.set_once, notes)}
    unset = [*_names(outer.unset, notes), *_names(inner.unset, notes)]
    merge = _merge(name, alias, anonymous)
    return Change(to_set, once, unset, merge) if to_set or once or unset or merge else None


def _merge(name: str, alias: Maybe, anonymous: Maybe) -> Merge | None:
    if name in ALIASES and (other := id_of(alias)) is not None:
        return Merge(other, name == FORCED)
    if name == IDENTIFY and (other := id_of(anonymous)) is not None:
        return Merge(other, forced=False)
    return None


def with_outer(text: str, outer: Says) -> str:
    """The properties with what clients put beside them: that belongs to them, and exports look for it there."""
    beside = {"$set": outer.set, "$set_once": outer.set_once, "$unset": outer.unset}
    extra = {key: raw for key, raw in beside.items() if there(raw)}
    if not extra:
        return text
    members = decode_members(text)
    for key, raw in extra.items():
        own: Maybe = members.get(key, UNSET)
        if begins(own, b"{") and begins(raw, b"{"):
            members[key] = Raw(encode({**decode_members(raw), **decode_members(own)}))
        elif not there(own):
            members[key] = raw
    return encode(members).decode()


def _members(key: str, raw: Maybe, notes: Notes) -> dict[str, str]:
    if not there(raw):
        return {}
    if not begins(raw, b"{"):
        notes.append((Code.INVALID_PERSON_PROPERTIES, f"'{key}' is no object; it was ignored."))
        return {}
    return {name: compact(value) for name, value in decode_members(raw).items()}


def _names(raw: Maybe, notes: Notes) -> Sequence[str]:
    """``$unset`` is a list of names; or an object, of which the names are meant."""
    if not there(raw):
        return ()
    if begins(raw, b"{"):
        return list(decode_members(raw))
    if begins(raw, b"["):
        names = [text_of(one) for one in decode_list(raw)]
        if None not in names:
            return [name for name in names if name is not None]
    notes.append((Code.INVALID_PERSON_PROPERTIES, "'$unset' is no list of names; it was ignored."))
    return ()
