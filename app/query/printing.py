"""Expressions as text: HogQL in its normal form, and what the ``schema`` of an export shows (the contract's 9.4)."""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from app.query.tree import Call, Column, Constant, Expression, Field, Property, Type

NAME: Final = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
PLAIN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CASTS: Final[Mapping[str, Type]] = {"toInt": Type.INTEGER, "toFloat": Type.FLOAT}
_WORDS: Final = frozenset({"not", "select"})
"""That the parser takes for names nowhere, not even behind a dot."""


def hogql(fields: Sequence[Field]) -> str:
    """The query that a select list comes to, in its normal form."""
    return f"SELECT {', '.join(map(_aliased, fields))} FROM events"  # noqa: S608  shown to people, never run


def schema(fields: Sequence[Field]) -> dict[str, Any]:
    """The document of the contract's section 9.4. It tells clients names, their order and how each is made, in
    ClickHouse's words; nothing runs it."""
    values: dict[str, str] = {}

    def bound(text: str) -> str:
        name = f"hogql_val_{len(values)}"
        values[name] = text
        return f"%({name})s"

    shown = [
        {"expression": _compiled(field.expression, bound), "alias": _quoted(field.alias, PLAIN_NAME)}
        for field in fields
    ]
    return {"fields": shown, "values": values, "hogql_query": hogql(fields)}


def alias_of(expression: Expression) -> str:
    """The name of a column that was given none."""
    match expression:
        case Column():
            return expression.name
        case Property(path=(*_, str() as name)):
            return name
        case Constant(value=bool() as value):
            return str(int(value))
        case Constant(value=str() as value):
            return value
    return text_of(expression)


def text_of(expression: Expression) -> str:
    """In HogQL's normal form, which is read as the same expression again."""
    match expression:
        case Column():
            return expression.name
        case Property():
            return expression.column.name + "".join(map(_step, expression.path))
        case Constant():
            return _constant(expression, _string)
        case Call(function="in" | "notIn", arguments=(value, *members)):
            return f"{expression.function}({text_of(value)}, tuple({_list(members, text_of)}))"
        case Call():
            return f"{expression.function}({_list(expression.arguments, text_of)})"


def _compiled(expression: Expression, bound: Callable[[str], str]) -> str:
    def of(one: Expression) -> str:
        return _compiled(one, bound)

    match expression:
        case Column():
            return f"events.{expression.name}"
        case Property():
            keys = [bound(key) if isinstance(key, str) else str(_place(key)) for key in expression.path]
            return f"JSONExtractString(events.{expression.column.name}, {', '.join(keys)})"
        case Constant():
            return _constant(expression, bound)
        case Call(function="toInt" | "toFloat" as name, arguments=(one,)):
            return f"accurateCastOrNull({of(one)}, {bound(_CASTS[name].value)})"
        case Call(function="in" | "notIn", arguments=(value, *members)):
            return f"{expression.function}({of(value)}, tuple({_list(members, of)}))"
        case Call():
            return f"{expression.function}({_list(expression.arguments, of)})"


def _aliased(field: Field) -> str:
    printed = text_of(field.expression)
    goes_without = field.alias == alias_of(field.expression) and not isinstance(field.expression, Constant)
    return printed if goes_without else f"{printed} AS {_quoted(field.alias, NAME)}"


def _list(expressions: Sequence[Expression], of: Callable[[Expression], str]) -> str:
    return ", ".join(map(of, expressions))


def _constant(constant: Constant, string: Callable[[str], str]) -> str:
    match constant.value:
        case None:
            return "NULL"
        case bool():
            return str(constant.value).lower()
        case int():
            return str(constant.value)
        case float():
            return repr(constant.value)
        case str():
            return string(constant.value)
        case tuple():
            return f"array({', '.join(map(string, constant.value))})"
        case datetime():
            return f"toDateTime({string(constant.value.strftime('%Y-%m-%d %H:%M:%S.%f'))})"
        case _:
            return f"toDate({string(constant.value.isoformat())})"


def _string(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"


def _step(key: str | int) -> str:
    if isinstance(key, int):
        return f"[{_place(key)}]"
    return f".{key}" if NAME.fullmatch(key) and key.lower() not in _WORDS else f"[{_string(key)}]"


def _place(index: int) -> int:
    """In HogQL places count from 1."""
    return index + 1 if index >= 0 else index


def _quoted(name: str, plain: re.Pattern[str]) -> str:
    if plain.fullmatch(name) and name.lower() not in _WORDS:
        return name
    return "`" + name.replace("\\", "\\\\").replace("`", "\\`") + "`"
