"""Expressions of queries and filters in SQL. Text of theirs is never part of it: all of that goes by way of values.

No expression makes a statement fail by the data it meets: what has no answer is null. JSON is read by way of
``event_store.readable``, for of a document that holds NUL or half a surrogate pair no member could be read.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Final

from app.query.functions import JSON_TYPES
from app.query.tree import Call, Column, Constant, Expression, Property, Type
from app.sources.postgres.functions import TYPES, written
from app.sources.postgres.patterns import date_format, regexp, replacement
from app.sources.postgres.values import Values, storable

JSON_READERS: Final[Mapping[str, str]] = {
    "JSONExtractString": "event_store.json_string({})",
    "JSONExtractInt": "event_store.json_int({})",
    "JSONExtractFloat": "event_store.json_float({})",
    "JSONExtractBool": "event_store.json_bool({})",
    "JSONExtractRaw": "event_store.json_raw({})",
    "JSONExtractArrayRaw": "event_store.json_raw_items({})",
    "JSONExtractKeys": "event_store.json_keys({})",
    "JSONHas": "({} IS NOT NULL)",
    "JSONLength": "event_store.json_length({})",
}
_EXTRACTS: Final[Mapping[Type, str]] = {
    Type.STRING: JSON_READERS["JSONExtractString"],
    Type.INTEGER: JSON_READERS["JSONExtractInt"],
    Type.FLOAT: JSON_READERS["JSONExtractFloat"],
    Type.BOOLEAN: JSON_READERS["JSONExtractBool"],
    Type.STRINGS: "event_store.json_items({})",
}
_TRANSLATED: Final[Mapping[str, tuple[int, Callable[[str], str]]]] = {
    "match": (1, regexp),
    "extract": (1, regexp),
    "replaceRegexpOne": (1, regexp),
    "replaceRegexpAll": (1, regexp),
    "formatDateTime": (1, date_format),
}
"""Which argument is a pattern in HogQL's words."""


def condition(expression: Expression, values: Values) -> str:
    """One that is null does not hold."""
    return f"({compiled(expression, values)} IS TRUE)"


def output(expression: Expression, values: Values) -> str:
    """As a column of a result: identifiers are text there."""
    sql = compiled(expression, values)
    return f"{sql}::text" if expression.type in (Type.UUID, Type.NULL) else sql


def compiled(expression: Expression, values: Values) -> str:
    """An expression of the type that :data:`app.sources.postgres.functions.TYPES` names."""
    match expression:
        case Column(name="team_id"):
            return "events.team_id::bigint"
        case Column():
            return f'events."{expression.name}"'
        case Property():
            return _member(f'event_store.readable(events."{expression.column.name}")', expression.path, values, ">>")
        case Constant():
            return _constant(expression, values)
        case Call():
            return _call(expression, values)


def _call(call: Call, values: Values) -> str:
    if call.function == "JSONExtract" or call.function in JSON_READERS:
        return _from_json(call, values)
    if call.function in ("in", "notIn") and (members := _texts(call.arguments[1:])) is not None:
        # One value for the whole list, which becomes a table that is looked into.
        value = compiled(call.arguments[0], values)
        found = f"coalesce({value} IN ({values.rows([*filter(storable, members)])}), false)"
        return found if call.function == "in" else f"(NOT {found})"
    arguments = [compiled(one, values) for one in _translated(call)]
    return written(call, arguments)


def _translated(call: Call) -> Sequence[Expression]:
    arguments = list(call.arguments)
    if call.function in _TRANSLATED:
        place, translate = _TRANSLATED[call.function]
        arguments[place] = _with(arguments[place], translate)
    if call.function.startswith("replaceRegexp"):
        arguments[2] = _with(arguments[2], replacement)
    return arguments


def _with(expression: Expression, translate: Callable[[str], str]) -> Constant:
    assert isinstance(expression, Constant)
    assert isinstance(expression.value, str)
    return Constant(translate(expression.value), Type.STRING)


def _texts(members: Sequence[Expression]) -> Sequence[str] | None:
    texts = [one.value for one in members if isinstance(one, Constant) and isinstance(one.value, str)]
    return texts if len(texts) == len(members) else None


def _from_json(call: Call, values: Values) -> str:
    document, *keys = call.arguments
    reader = JSON_READERS.get(call.function)
    if reader is None:
        kind = keys.pop()
        assert isinstance(kind, Constant)
        reader = _EXTRACTS[JSON_TYPES[str(kind.value)]]
    sql = compiled(document, values)
    read = f"event_store.readable({sql})" if document.type == Type.JSON else f"event_store.to_json({sql})"
    return reader.format(_member(read, [_step(key) for key in keys], values, ">"))


def _step(key: Expression) -> str | int:
    assert isinstance(key, Constant)
    if isinstance(key.value, int):
        # Places count from 1 in HogQL, and from 0 in Postgres.
        return key.value - 1 if key.value > 0 else key.value
    return str(key.value)


def _member(document: str, path: Sequence[str | int], values: Values, last: str) -> str:
    """What lies at a path. ``last`` is what the last step's operator ends in: ``>>`` gives it as text."""
    steps = [
        f" -{last if number == len(path) else '>'} {key if isinstance(key, int) else _key(key, values)}"
        for number, key in enumerate(path, 1)
    ]
    return f"({document}{''.join(steps)})"


def _key(key: str, values: Values) -> str:
    return values.text(key) if storable(key) else "NULL::text"


def _constant(constant: Constant, values: Values) -> str:
    """Only what is typed by itself is written out: it holds nothing but digits, signs and separators."""
    kind = TYPES[constant.type]
    match constant.value:
        case bool():
            return str(constant.value).upper()
        case int() | float():
            return f"'{constant.value!r}'::{kind}"
        case datetime():
            return f"timestamptz '{constant.value.astimezone(UTC).isoformat()}'"
        case date():
            return f"date '{constant.value.isoformat()}'"
        case str() if storable(constant.value):
            return values.text(constant.value) if kind == "text" else f"{values.text(constant.value)}::{kind}"
        case tuple():
            return f"ARRAY({values.rows([*filter(storable, constant.value)])})"
    return f"NULL::{kind}"
