"""Patterns and formats in Postgres' words: regular expressions, LIKE, replacements, and the formats of dates."""

import re
from collections.abc import Mapping
from typing import Final

from app.query.patterns import Piece, flags_of, pieces

_ASSERTIONS: Final[Mapping[str, str]] = {"^": "^", "$": "$", "b": r"\y", "B": r"\Y", "A": r"\A", "z": r"\Z"}
_FORMATS: Final[Mapping[str, str]] = {
    "%Y": "YYYY",
    "%y": "YY",
    "%m": "MM",
    "%d": "DD",
    "%H": "HH24",
    "%i": "MI",
    "%S": "SS",
    "%f": "US",
    "%F": "YYYY-MM-DD",
    "%T": "HH24:MI:SS",
    "%R": "HH24:MI",
    "%j": "DDD",
    "%G": "IYYY",
    "%V": "IW",
    "%u": "ID",
}


def regexp(pattern: str) -> str:
    """An expression that :func:`app.query.patterns.check_regexp` has let pass."""
    flags, rest = flags_of(pattern)
    lines, dot = "m" in flags, "s" in flags
    options = ("i" if "i" in flags else "c") + {(False, True): "s", (True, True): "w", (False, False): "p"}.get(
        (lines, dot), "n"
    )
    return f"(?{options})" + "".join(map(_piece, pieces(rest)))


def replacement(text: str) -> str:
    r"""``\0`` is the whole match there, ``\1`` to ``\9`` are groups, and any other backslash is one."""
    return re.sub(r"\\(.?)", _reference, text, flags=re.DOTALL)


def date_format(text: str) -> str:
    """A format that :func:`app.query.formats.check_format` has let pass. All that is no part of it stands in quotes."""
    return "".join(_FORMATS.get(part) or _literal(part) for part in re.findall(r"%.|[^%]+", text, re.DOTALL))


def _piece(piece: Piece) -> str:
    match piece.kind:
        case "char":
            return _char(piece.text)
        case "range":
            return f"{_char(piece.text[0])}-{_char(piece.text[1])}"
        case "class":
            return f"\\{piece.text}"
        case "assert":
            return _ASSERTIONS[piece.text]
        case "posix":
            return f"[:{piece.text}:]"
        case "set not":
            return "[^"
        case "open":
            return "(?:"
    return piece.text


def _char(char: str) -> str:
    if ord(char) < 32 or ord(char) == 127:
        return f"\\u{ord(char):04x}"
    return char if char.isalnum() or ord(char) > 127 else f"\\{char}"


def _reference(found: re.Match[str]) -> str:
    if found[1] == "0":
        return r"\&"
    if found[1].isdecimal() and found[1].isascii():
        return found[0]
    return r"\\" if found[1] in ("", "\\") else rf"\\{found[1]}"


def _literal(text: str) -> str:
    plain = "%" if text == "%%" else text
    escaped = plain.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
