"""Types brought together: what can be meant where another type is wanted, and what cannot."""

import math
import re
from collections.abc import Sequence
from datetime import date, datetime
from decimal import Decimal
from functools import reduce
from typing import Final

from app.query.errors import NotUnderstood
from app.query.moments import read_date, read_moment
from app.query.tree import Call, Constant, Expression, Type

NUMBERS: Final = frozenset({Type.INTEGER, Type.FLOAT})
NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
"""Text that is read as a number, of constants and of data alike."""

_FUNCTIONS: Final = {
    Type.STRING: "toString",
    Type.INTEGER: "toInt",
    Type.FLOAT: "toFloat",
    Type.BOOLEAN: "toBool",
    Type.DATETIME: "toDateTime",
    Type.DATE: "toDate",
    Type.UUID: "toUUID",
}
_MEANT: Final = {
    Type.INTEGER: frozenset({Type.STRING, Type.BOOLEAN, Type.FLOAT}),
    Type.FLOAT: frozenset({Type.STRING, Type.BOOLEAN, Type.INTEGER}),
    Type.BOOLEAN: frozenset({Type.STRING, Type.INTEGER, Type.FLOAT}),
    Type.DATETIME: frozenset({Type.STRING, Type.DATE}),
    Type.DATE: frozenset({Type.STRING}),
}
"""By what is wanted, the other types that are read as it. Numbers are no dates: of which unit would they be?"""
_WORDS: Final = {"true": True, "1": True, "false": False, "0": False}


def converted(expression: Expression, wanted: Type) -> Expression:
    """The same value as another type. A constant that cannot be read is a mistake; data that cannot is null.

    :raises NotUnderstood: for a type that is not read as the other.
    """
    kind = expression.type
    if kind == wanted:
        return expression
    if kind == Type.NULL or (isinstance(expression, Constant) and expression.value is None):
        return Constant(None, wanted)
    if wanted != Type.STRING and kind not in _MEANT.get(wanted, ()):
        raise NotUnderstood(f"{kind} cannot be used as {wanted}")
    if isinstance(expression, Constant) and isinstance(expression.value, str) and kind == Type.STRING:
        return _read(expression.value, wanted)
    if isinstance(expression, Constant) and kind == Type.INTEGER and wanted == Type.FLOAT:
        assert isinstance(expression.value, int)
        return Constant(float(expression.value), Type.FLOAT)
    return Call(_FUNCTIONS[wanted], (expression,), wanted)


def common(types: Sequence[Type]) -> Type:
    """The one type that values of these can all be given as.

    :raises NotUnderstood: when there is none.
    """
    return reduce(_common, types)


def comparable(types: Sequence[Type]) -> Type:
    """The type in which values of these are compared.

    :raises NotUnderstood: when they cannot be.
    """
    found = reduce(_comparable, types)
    return Type.STRING if found in (Type.JSON, Type.NULL) else found


def _common(one: Type, other: Type) -> Type:
    pair = {one, other}
    if len(pair) == 1 or other == Type.NULL:
        return one
    if one == Type.NULL:
        return other
    if pair == NUMBERS:
        return Type.FLOAT
    if pair == {Type.DATE, Type.DATETIME}:
        return Type.DATETIME
    if pair in ({Type.UUID, Type.STRING}, {Type.JSON, Type.STRING}):
        return Type.STRING
    raise NotUnderstood(f"{one} and {other} cannot be values of the same expression; convert one, as by toString()")


def _comparable(one: Type, other: Type) -> Type:
    pair = {one, other}
    if Type.STRING in pair and len(rest := pair - {Type.STRING}) == 1:
        [found] = rest
        if found in NUMBERS:
            return Type.FLOAT
        if found in (Type.BOOLEAN, Type.DATETIME, Type.DATE):
            return found
    if Type.BOOLEAN in pair and pair & NUMBERS:
        return next(iter(pair & NUMBERS))
    try:
        return _common(one, other)
    except NotUnderstood:
        raise NotUnderstood(f"{one} cannot be compared with {other}; convert one, as by toString()") from None


def _read(text: str, wanted: Type) -> Constant:
    value: float | bool | datetime | date | None
    match wanted:
        case Type.FLOAT:
            value = _number(text)
        case Type.INTEGER:
            value = _whole(text)
        case Type.BOOLEAN:
            value = _WORDS.get(text.lower())
        case Type.DATETIME:
            value = read_moment(text)
        case _:
            value = read_date(text)
    if value is None:
        raise NotUnderstood(f"'{text}' cannot be read as {wanted}")
    return Constant(value, wanted)


def _number(text: str) -> float | None:
    number = float(text) if NUMBER.fullmatch(text) else math.inf
    return number if math.isfinite(number) else None


def _whole(text: str) -> int | None:
    number = Decimal(text) if NUMBER.fullmatch(text) and len(text) < 100 else None
    if number is None or abs(number) > 2**63 or number != int(number):
        return None
    return int(number) if is_integer(int(number)) else None


def is_integer(number: int) -> bool:
    """Whether it is an Int64."""
    return -(2**63) <= number < 2**63
