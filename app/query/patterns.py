"""Patterns that are constants of a query: what they may be made of, so that a wrong one is refused before it is stored.

Regular expressions have RE2's syntax, as ClickHouse's have. The pieces that :func:`pieces` gives are all there are: a
dialect translates each, and can use every expression that is made of them.
"""

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Final

from app.query.errors import NotUnderstood

MAX_COST: Final = 300
"""What an expression may come to once its repetitions are written out: larger ones take seconds to be compiled."""
MAX_REPEAT: Final = 255
"""As much as every dialect takes."""

_FLAGS = re.compile(r"\(\?([imsU]*)(?:-([imsU]+))?\)")
_BOUND = re.compile(r"\{([0-9]{1,4})(,([0-9]{0,4}))?\}")
_OPEN = re.compile(r"\((?:\?:|\?P?<[A-Za-z_][A-Za-z0-9_]*>|(?!\?))")
_HEX = re.compile(r"\\x(?:([0-9A-Fa-f]{2})|\{([0-9A-Fa-f]{1,6})\})")
_POSIX = re.compile(r"\[:(alpha|digit|alnum|upper|lower|space|blank|punct|print|graph|cntrl|xdigit|word):\]")
_CONTROLS: Final = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}


@dataclass(frozen=True, slots=True)
class Piece:
    """``kind`` is one of: ``char``, ``any``, ``class`` (of ``dDsSwW``), ``assert`` (of ``^$bBAz``), ``or``, ``open``,
    ``capture``, ``close``, ``repeat``, ``set``, ``set not``, ``posix``, ``range`` (two characters), ``set end``."""

    kind: str
    text: str


def flags_of(pattern: str) -> tuple[frozenset[str], str]:
    """The flags that an expression begins with, and the rest. ``s`` is among them unless it is taken away."""
    found = _FLAGS.match(pattern)
    if found is None:
        return frozenset("s"), pattern
    on, off = set(found[1]), set(found[2] or "")
    if "U" in on | off:
        raise NotUnderstood("The flag U of regular expressions is not supported")
    return frozenset(({"s"} | on) - off), pattern[found.end() :]


def check_regexp(pattern: str) -> str:
    """The expression itself.

    :raises NotUnderstood: for one that some dialect could not use.
    """
    _, rest = flags_of(pattern)
    costs: list[list[int]] = [[]]
    repeatable = within_set = False
    for piece in pieces(rest):
        within_set = piece.kind in ("set", "set not") or (within_set and piece.kind != "set end")
        if within_set:
            continue  # all of the set counts once, at its end
        match piece.kind:
            case "open" | "capture":
                costs.append([])
                repeatable = False
            case "close":
                if len(costs) == 1:
                    raise _wrong(pattern, "a ')' closes nothing")
                costs[-2].append(1 + sum(costs.pop()))
                repeatable = True
            case "repeat":
                if not repeatable:
                    raise _wrong(pattern, f"'{piece.text}' repeats nothing")
                costs[-1][-1] *= _times(pattern, piece.text)
                repeatable = False
            case "assert" | "or":
                repeatable = False
            case _:
                costs[-1].append(1)
                repeatable = True
        if sum(costs[-1]) > MAX_COST:
            raise _wrong(pattern, "it is too large")
    if len(costs) > 1:
        raise _wrong(pattern, "a '(' is not closed")
    return pattern


def pieces(pattern: str) -> Iterator[Piece]:
    """What an expression is made of, after its flags.

    :raises NotUnderstood: for what is none of the pieces there are.
    """
    at = 0
    while at < len(pattern):
        char = pattern[at]
        found: re.Match[str] | None
        if char == "\\":
            piece, at = _escape(pattern, at, "dDsSwWbBAz")
            yield piece
        elif char == "[":
            at = yield from _set(pattern, at)
        elif char == "(":
            if (found := _OPEN.match(pattern, at)) is None:
                raise _wrong(pattern, "groups can be (…), (?:…) and (?P<name>…)")
            yield Piece("open" if found[0] == "(?:" else "capture", "(")
            at = found.end()
        elif char in "*+?" or (char == "{" and _BOUND.match(pattern, at)):
            found = _BOUND.match(pattern, at)
            end = found.end() if found is not None else at + 1
            end += pattern[end : end + 1] == "?"
            yield Piece("repeat", pattern[at:end])
            at = end
        else:
            yield Piece({".": "any", "^": "assert", "$": "assert", "|": "or", ")": "close"}.get(char, "char"), char)
            at += 1


def check_like(pattern: str) -> str:
    """The pattern, with a backslash nowhere but before ``%``, ``_`` and a backslash.

    :raises NotUnderstood: for one that ends within an escape.
    """
    found = re.findall(r"\\.|\\|[^\\]+", pattern, re.DOTALL)
    if found and found[-1] == "\\":
        raise NotUnderstood(f"The pattern '{pattern}' ends with a backslash that escapes nothing")
    return "".join(part if part[0] != "\\" or part[1] in "%_\\" else f"\\{part}" for part in found)


def _times(pattern: str, repeat: str) -> int:
    bound = _BOUND.match(repeat)
    if bound is None:
        return 1
    least, most = int(bound[1]), int(bound[3] or bound[1])
    if max(least, most) > MAX_REPEAT:
        raise _wrong(pattern, f"it can repeat something {MAX_REPEAT} times at most")
    if most < least:
        raise _wrong(pattern, f"'{repeat}' counts backwards")
    return max(most, 1)


def _escape(pattern: str, at: int, classes: str) -> tuple[Piece, int]:
    """The escape there, and where it ends."""
    if (found := _HEX.match(pattern, at)) is not None:
        code = int(found[1] or found[2], 16)
        if code == 0 or code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise _wrong(pattern, f"'{found[0]}' is no character of a text")
        return Piece("char", chr(code)), found.end()
    char = pattern[at + 1 : at + 2]
    if char and char in classes:
        return Piece("class" if char in "dDsSwW" else "assert", char), at + 2
    if char in _CONTROLS:
        return Piece("char", _CONTROLS[char]), at + 2
    if not char or char.isalnum() or ord(char) > 127:
        raise _wrong(pattern, f"'\\{char}' is not supported")
    return Piece("char", char), at + 2


def _set(pattern: str, at: int) -> Generator[Piece, None, int]:
    """The pieces of a set in brackets; returns where it ends."""
    start = at
    negated = pattern.startswith("^", at + 1)
    yield Piece("set not" if negated else "set", "[")
    at += 2 if negated else 1
    first = at
    while at < len(pattern) and (pattern[at] != "]" or at == first):
        if (found := _POSIX.match(pattern, at)) is not None:
            yield Piece("posix", found[1])
            at = found.end()
            continue
        if pattern.startswith("[:", at):
            raise _wrong(pattern, "there is no such class of characters")
        low, at = _member(pattern, at)
        if pattern.startswith("-", at) and pattern[at + 1 : at + 2] not in ("", "]"):
            high, at = _member(pattern, at + 1)
            if low.kind != "char" or high.kind != "char" or low.text > high.text:
                raise _wrong(pattern, "a range of characters goes from the lesser to the greater one")
            yield Piece("range", low.text + high.text)
        else:
            yield low
    if at >= len(pattern):
        raise _wrong(pattern[start:], "a '[' is not closed")
    yield Piece("set end", "]")
    return at + 1


def _member(pattern: str, at: int) -> tuple[Piece, int]:
    if pattern[at] == "\\":
        return _escape(pattern, at, "dDsSwW")
    return Piece("char", pattern[at]), at + 1


def _wrong(pattern: str, reason: str) -> NotUnderstood:
    return NotUnderstood(f"The regular expression '{pattern}' cannot be used: {reason}")
