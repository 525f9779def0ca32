"""Calls put together: arguments counted, converted to what a function takes, and the type of the result known."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Final
from uuid import UUID

from app.query.conversions import NUMBERS, common, comparable, converted
from app.query.errors import NotUnderstood
from app.query.formats import check_format
from app.query.functions import FUNCTIONS, JSON_TYPES, UNITS, Function, Kind, Result, canonical
from app.query.moments import zones
from app.query.patterns import check_like, check_regexp
from app.query.tree import Call, Constant, Expression, Property, Type

TIMES: Final = frozenset({Type.DATETIME, Type.DATE})
WITHOUT_ORDER: Final = frozenset({Type.STRINGS, Type.JSON})
MOST_DIGITS: Final = 15


def call(name: str, arguments: Sequence[Expression]) -> Expression:
    """A function of HogQL, by any of its names.

    :raises NotUnderstood: for a function that there is not, and for arguments that it does not take.
    """
    found = known(name)
    function = FUNCTIONS[found]
    if found in ("plus", "minus") and len(arguments) == 2 and {one.type for one in arguments} & TIMES:
        return _shifted(found, *arguments)
    if found == "arrayElement" and len(arguments) == 2 and isinstance(arguments[0], Property):
        return element(arguments[0], arguments[1])
    if found in ("in", "notIn") and arguments:
        arguments = _list(arguments)
    kinds = _kinds(found, function, len(arguments))
    if function.accepts is not None and arguments[0].type not in function.accepts:
        raise NotUnderstood(f"{found}() does not take {arguments[0].type}")
    made = _grouped(tuple(_single(found, kind, one) for kind, one in zip(kinds, arguments, strict=True)), kinds)
    return Call(found, made, _result(function.result, made))


def known(name: str) -> str:
    """The function's own name.

    :raises NotUnderstood: for one that there is not.
    """
    if (found := canonical(name)) is not None:
        return found
    close = get_close_matches(name, FUNCTIONS, 1, 0.75)
    hint = f". Perhaps you meant '{close[0]}(...)'?" if close else ""
    raise NotUnderstood(f"Unsupported function call '{name}(...)'{hint}")


def element(list_: Expression, index: Expression) -> Expression:
    """What lies at a place: of a property within its JSON, else in a list of strings. The first place is 1."""
    if not isinstance(list_, Property):
        return call("arrayElement", (list_, index))
    if not isinstance(index, Constant) or not isinstance(index.value, str | int) or isinstance(index.value, bool):
        raise NotUnderstood("What stands in brackets behind a property must be a constant")
    return replace(list_, path=(*list_.path, _key(index.value)))


def _list(arguments: Sequence[Expression]) -> Sequence[Expression]:
    """A value and what it may be. Nulls in a list are equal to nothing."""
    value, *members = arguments
    members = [one for one in members if one.type != Type.NULL]
    if not members:
        raise NotUnderstood("IN needs a list of values")
    return [value, *members]


def _key(value: str | int) -> str | int:
    """Of a path in the tree, where places count from 0."""
    if isinstance(value, str):
        return value
    if value == 0:
        raise NotUnderstood("Places in a list count from 1, and from -1 at its end")
    if abs(value) >= 2**31:
        raise NotUnderstood(f"{value} is no place in a list")
    return value - 1 if value > 0 else value


def _kinds(name: str, function: Function, given: int) -> Sequence[Kind]:
    """What each argument is for.

    :raises NotUnderstood: for too few, or too many.
    """
    kinds = function.arguments
    if name == "multiIf":
        if given < 3 or given % 2 == 0:
            raise NotUnderstood("multiIf() takes conditions, each with a value, and a value for all else")
        return [*[Kind.CONDITION, Kind.VALUE] * (given // 2), Kind.VALUE]
    if given < function.least or (given > len(kinds) and not function.many):
        most = "or more" if function.many else f"to {len(kinds)}" if len(kinds) > function.least else ""
        plural = "" if function.least == 1 and not most else "s"
        takes = " ".join(filter(None, (str(function.least), most)))
        raise NotUnderstood(f"{name}() takes {takes} argument{plural}, not {given}")
    if name == "JSONExtract":
        return [Kind.JSON, *[Kind.KEY] * (given - 2), Kind.JSON_TYPE]
    return [*kinds, *[kinds[-1]] * (given - len(kinds))][:given]


def _single(name: str, kind: Kind, argument: Expression) -> Expression:
    """The argument as its kind alone would have it."""
    if kind in _WANTED:
        return converted(argument, _WANTED[kind])
    if kind in _CONSTANTS:
        return _constant(name, kind, argument)
    match kind:
        case Kind.TIME if argument.type != Type.DATE:
            return converted(argument, Type.DATETIME)
        case Kind.SEQUENCE if argument.type != Type.STRINGS:
            return converted(argument, Type.STRING)
        case Kind.JSON if argument.type not in (Type.JSON, Type.STRING, Type.NULL):
            raise NotUnderstood(f"{name}() reads JSON, not {argument.type}")
        case Kind.NUMBER if argument.type not in NUMBERS:
            return converted(argument, Type.INTEGER if argument.type == Type.BOOLEAN else Type.FLOAT)
    return argument


_WANTED: Final[Mapping[Kind, Type]] = {
    Kind.TEXT: Type.STRING,
    Kind.FLOAT: Type.FLOAT,
    Kind.INTEGER: Type.INTEGER,
    Kind.CONDITION: Type.BOOLEAN,
    Kind.MOMENT: Type.DATETIME,
    Kind.STRINGS: Type.STRINGS,
}


def _grouped(arguments: tuple[Expression, ...], kinds: Sequence[Kind]) -> tuple[Expression, ...]:
    """Arguments that belong together, as one type."""
    for group, unite in _TOGETHER:
        members = [one for one, kind in zip(arguments, kinds, strict=True) if kind in group]
        if not members:
            continue
        if any(one.type == Type.UUID for one in members):
            arguments = tuple(_identifier(one) for one in arguments)
        wanted = unite([one.type for one in members])
        if wanted in WITHOUT_ORDER and {Kind.ORDERED, Kind.RANKED} & set(kinds):
            raise NotUnderstood(f"{wanted} has no order")
        arguments = tuple(
            converted(one, wanted) if kind in group else one for one, kind in zip(arguments, kinds, strict=True)
        )
    return arguments


def _numbers(types: Sequence[Type]) -> Type:
    return Type.INTEGER if set(types) == {Type.INTEGER} else Type.FLOAT


_TOGETHER: Final[Sequence[tuple[frozenset[Kind], Callable[[Sequence[Type]], Type]]]] = (
    (frozenset({Kind.NUMBER}), _numbers),
    (frozenset({Kind.VALUE, Kind.ORDERED}), common),
    (frozenset({Kind.COMPARED, Kind.RANKED}), comparable),
)


def _identifier(one: Expression) -> Expression:
    """Identifiers are compared as text, which constants then have to be written like."""
    if isinstance(one, Constant) and one.type == Type.STRING and isinstance(one.value, str):
        try:
            return replace(one, value=str(UUID(one.value)))
        except ValueError:
            pass  # equal to none
    return one


def _result(result: Type | Result, arguments: Sequence[Expression]) -> Type:
    match result:
        case Result.FIRST:
            return arguments[0].type
        case Result.LAST:
            return arguments[-1].type
        case Result.NAMED:
            named = arguments[-1]
            assert isinstance(named, Constant)
            return JSON_TYPES[str(named.value)]
    return result


def _shifted(name: str, one: Expression, other: Expression) -> Expression:
    """Times are moved by a number of seconds, dates by a number of days; their difference is such a number."""
    if name == "plus" and other.type in TIMES and one.type not in TIMES:
        one, other = other, one
    unit = "Seconds" if Type.DATETIME in (one.type, other.type) else "Days"
    if one.type in TIMES and other.type in NUMBERS:
        return call(f"{'add' if name == 'plus' else 'subtract'}{unit}", (one, other))
    if name == "minus" and one.type in TIMES and other.type in TIMES:
        return call("dateDiff", (Constant(unit[:-1].lower(), Type.STRING), other, one))
    raise NotUnderstood(f"{name}() does not take {one.type} and {other.type}")


def _constant(name: str, kind: Kind, argument: Expression) -> Constant:
    """:raises NotUnderstood: for what is no constant, or not one of that kind."""
    value = argument.value if isinstance(argument, Constant) else None
    if kind in (Kind.KEY, Kind.DIGITS) and isinstance(value, int) and not isinstance(value, bool):
        if kind is Kind.DIGITS and abs(value) > MOST_DIGITS:
            raise NotUnderstood(f"{name}() takes {MOST_DIGITS} digits at most")
        if kind is Kind.KEY:
            _key(value)
        return Constant(value, Type.INTEGER)
    if not isinstance(value, str) or kind is Kind.DIGITS:
        raise NotUnderstood(f"{name}() needs a constant for its {_NAMES[kind]}")
    return Constant(_CONSTANTS[kind](value), Type.STRING)


def _zone(text: str) -> str:
    if text not in zones():
        raise NotUnderstood(f"There is no time zone '{text}'")
    return text


def _unit(text: str) -> str:
    unit = text.lower().removesuffix("s")
    if unit not in UNITS:
        raise NotUnderstood(f"There is no unit of time '{text}'; there are: {', '.join(UNITS)}")
    return unit


def _json_type(text: str) -> str:
    if text not in JSON_TYPES:
        raise NotUnderstood(f"JSONExtract() does not give '{text}'; it gives: {', '.join(JSON_TYPES)}")
    return text


_CONSTANTS: Final[Mapping[Kind, Callable[[str], str]]] = {
    Kind.PATTERN: check_regexp,
    Kind.LIKE: check_like,
    Kind.REPLACEMENT: str,
    Kind.ZONE: _zone,
    Kind.UNIT: _unit,
    Kind.FORMAT: check_format,
    Kind.KEY: str,
    Kind.DIGITS: str,
    Kind.JSON_TYPE: _json_type,
}
_NAMES: Final[Mapping[Kind, str]] = {
    Kind.PATTERN: "regular expression",
    Kind.LIKE: "pattern",
    Kind.REPLACEMENT: "replacement",
    Kind.ZONE: "time zone",
    Kind.UNIT: "unit",
    Kind.FORMAT: "format",
    Kind.KEY: "keys and places",
    Kind.DIGITS: "digits",
    Kind.JSON_TYPE: "type",
}
