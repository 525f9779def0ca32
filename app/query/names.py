"""Names in a query: columns, what lies within them, and aliases; and constants, which are spelt there as well."""

import math
from collections.abc import Collection, Mapping

from sqlglot import exp

from app.query.calls import element
from app.query.columns import COLUMNS, PERSON, UNREADABLE
from app.query.conversions import NUMBER, is_integer
from app.query.errors import NotUnderstood
from app.query.functions import FUNCTIONS, UNITS, Kind, canonical
from app.query.tree import Column, Constant, Expression, Property, Type


class Unexportable(NotUnderstood):
    """Fields that are there, and are not exported."""

    def __init__(self, names: set[str]) -> None:
        super().__init__(
            f"Batch exports cannot read these fields: {', '.join(sorted(names))}. "
            f"Supported fields are: {', '.join(sorted(COLUMNS))}."
        )


class Subquery(NotUnderstood):
    """A query within an expression."""

    def __init__(self) -> None:
        super().__init__("Subqueries in SELECT expressions are not supported")


def check_names(parsed: exp.Expr, aliases: Collection[str], table: str) -> set[str]:
    """The fields named there that are not exported.

    :raises NotUnderstood: for what there is not.
    """
    if parsed.find(exp.Query):
        raise Subquery
    if parsed.find(exp.Struct, exp.Placeholder, exp.Parameter):
        raise NotUnderstood("Placeholders are not supported")
    unreadable = set()
    for column in parsed.find_all(exp.Column):
        if isinstance(column.this, exp.Star):
            continue
        first, *rest = [part.name for part in _parts(column, table)]
        if first in aliases or first in COLUMNS or (first == "person" and rest and rest[0] in PERSON):
            continue
        if first in UNREADABLE:
            unreadable.add(first)
        elif not _is_unit(column):
            raise NotUnderstood(f"Unable to resolve field: {first}")
    return unreadable


def path(node: exp.Column, aliases: Mapping[str, Expression], table: str) -> Expression:
    """A column, or what lies at a path within it. Its names are known to be there."""
    if isinstance(node.this, exp.Star):
        raise NotUnderstood("'*' stands for all fields, and for nothing else")
    first, *rest = _parts(node, table)
    if first.name == "person" and rest:
        first, *rest = exp.to_identifier(PERSON[rest[0].name]), *rest[1:]
    if first.name in COLUMNS:
        expression: Expression = COLUMNS[first.name]
    else:
        # Names that are neither are units of time.
        expression = aliases.get(first.name) or Constant(first.name, Type.STRING)
    for name in rest:
        expression = member(expression, spelt(name))
    return expression


def spelt(name: exp.Expr) -> Constant:
    """What stands behind a dot: a name, or a number."""
    return number(name.name) if isinstance(name, exp.Literal) and not name.is_string else text(name.name)


def member(expression: Expression, place: Expression) -> Expression:
    """What lies at a place within it."""
    if isinstance(expression, Column) and expression.type == Type.JSON:
        expression = Property(expression, ())
    elif not isinstance(expression, Property) and expression.type != Type.STRINGS:
        raise NotUnderstood(f"{expression.type} has nothing within it; JSON in text is read by JSONExtractString()")
    return element(expression, place)


def text(value: str) -> Constant:
    if "\x00" in value or any("\ud800" <= character <= "\udfff" for character in value):
        raise NotUnderstood("Text cannot hold null characters, nor halves of surrogate pairs")
    return Constant(value, Type.STRING)


def number(digits: str) -> Constant:
    if is_whole(digits) and len(digits) < 30 and is_integer(int(digits)):
        return Constant(int(digits), Type.INTEGER)
    if not NUMBER.fullmatch(digits):
        raise NotUnderstood(f"'{digits}' is no number")
    value = float(digits)
    if not math.isfinite(value):
        raise NotUnderstood(f"{digits} is too large for a number")
    return Constant(value, Type.FLOAT)


def is_whole(digits: str) -> bool:
    return digits.removeprefix("-").isdecimal()


def _parts(column: exp.Column, table: str) -> list[exp.Expr]:
    """The names that are strung together there, without the table's."""
    parts = list(column.parts)
    return parts[1:] if len(parts) > 1 and parts[0].name in (table, "events") else parts


def _is_unit(column: exp.Column) -> bool:
    """``day`` in ``dateDiff(day, …)``."""
    parent = column.parent
    return (
        isinstance(parent, exp.Anonymous)
        and parent.expressions[0] is column
        and FUNCTIONS[canonical(parent.name) or "and"].arguments[0] is Kind.UNIT
        and column.name.lower().removesuffix("s") in UNITS
    )
