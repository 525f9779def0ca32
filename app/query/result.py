"""Queries whose result is exported (the contract's section 9.5, model ``hogql``), as far as they read one event after
another: ``SELECT … FROM events WHERE …``, with the bounds of the interval as placeholders.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from sqlglot import exp

from app.errors import ValidationFailed
from app.query.conversions import converted
from app.query.dialect import parse_select
from app.query.errors import NotParsed, NotUnderstood
from app.query.hogql import checked, translate
from app.query.names import Unexportable, check_names
from app.query.select import fields_of
from app.query.tree import Constant, Expression, Field, Type

ATTR: Final = "hogql_query"
BOUNDS: Final = ("data_interval_start", "data_interval_end")
ONLY: Final = "Only {data_interval_start} and {data_interval_end} are supported in batch export queries"
UNNAMED: Final = "Every column in the SELECT clause must be a field or have an alias (e.g. `count() AS event_count`)"
FILTERS: Final = "filters"

_CLAUSES: Final = frozenset({"expressions", "from_", "where"})
_TABLE: Final = frozenset({"this", "alias"})
_NAMED: Final = (exp.Alias, exp.Column, exp.Dot, exp.Bracket, exp.Star)
_ANY_TIME: Final = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Rows:
    """What a query asks for: columns, and the conditions that events must fulfil."""

    fields: Sequence[Field]
    conditions: Sequence[Expression]


@dataclass(frozen=True, slots=True)
class Result:
    """A query that can be read. ``bounds`` are those of :data:`BOUNDS` that it refers to."""

    select: exp.Select
    bounds: frozenset[str]

    def within(self, start: datetime | None, end: datetime | None) -> Rows:
        """With its placeholders filled in; those it does not have need no value.

        :raises ValidationFailed: for what cannot be read.
        """
        values = dict(zip(BOUNDS, (start, end), strict=True))
        constants = {_name(bound): Constant(values[bound], Type.DATETIME) for bound in self.bounds}
        try:
            fields = fields_of(self.select, constants)
            names = {**constants, **{field.alias: field.expression for field in fields}}
            return Rows(fields, self._conditions(names))
        except RecursionError:
            raise _invalid("It is nested too deeply") from None
        except NotUnderstood as error:
            raise _invalid(str(error)) from None

    def _conditions(self, names: dict[str, Expression]) -> Sequence[Expression]:
        where = self.select.args.get("where")
        if where is None:
            return ()
        table = self.select.args["from_"].this.alias_or_name
        if unreadable := check_names(where.this, names, table):
            raise Unexportable(unreadable)
        return (checked(converted(translate(where.this, names, table), Type.BOOLEAN)),)


def parse_result(query: str) -> Result:
    """:raises ValidationFailed: in the contract's words, with attr ``hogql_query``."""
    try:
        parsed = parse_select(query)
    except NotParsed as error:
        raise ValidationFailed(f"Failed to parse HogQL query: {error}", attr=ATTR) from None
    select = _rows_of_events(parsed)
    result = Result(select, _name_placeholders(select))
    for item in select.expressions:
        if not isinstance(item, _NAMED):
            raise ValidationFailed(UNNAMED, attr=ATTR)
    result.within(_ANY_TIME, _ANY_TIME)
    return result


def _rows_of_events(parsed: exp.Select | exp.SetOperation) -> exp.Select:
    """:raises ValidationFailed: for what takes more than reading one event after another."""
    if isinstance(parsed, exp.SetOperation):
        raise _unsupported("UNION")
    source = parsed.args.get("from_")
    table = source.this if source is not None else None
    if not isinstance(table, exp.Table) or not isinstance(table.this, exp.Identifier):
        raise _unsupported("other source of rows")
    name = ".".join(part.name for part in table.parts)
    if name != "events":
        raise _invalid(f"There is no table `{name}`; there is: events")
    if more := sorted(_given(parsed) - _CLAUSES) + sorted(_given(table) - _TABLE):
        raise _unsupported(more[0].strip("_").upper())
    return parsed


def _given(node: exp.Expr) -> set[str]:
    return {name for name, value in node.args.items() if value}


def _name_placeholders(select: exp.Select) -> frozenset[str]:
    """Give every placeholder the name of a constant, in place; which ones there were.

    :raises ValidationFailed: for any that is no bound.
    """
    found = set()
    if select.find(exp.Placeholder, exp.Parameter):
        raise ValidationFailed(f"Unsupported placeholder. {ONLY}", attr=ATTR)
    for node in list(select.find_all(exp.Struct)):
        name = _placeholder(node)
        if name is None or name == FILTERS:
            raise ValidationFailed(f"Unsupported placeholder. {ONLY}", attr=ATTR)
        if name not in BOUNDS:
            raise ValidationFailed(f"Unknown placeholder '{{{name}}}'. {ONLY}", attr=ATTR)
        found.add(name)
        node.replace(exp.column(exp.to_identifier(_name(name), quoted=True)))
    return frozenset(found)


def _placeholder(node: exp.Struct) -> str | None:
    """The name in the braces; None: there is something else."""
    [*parts] = node.expressions
    if len(parts) != 1 or not isinstance(parts[0], exp.Column) or len(parts[0].parts) != 1:
        return None
    return None if isinstance(parts[0].this, exp.Star) else str(parts[0].name)


def _name(bound: str) -> str:
    return f"{{{bound}}}"


def _invalid(message: str) -> ValidationFailed:
    return ValidationFailed(f"Invalid HogQL query: {message}", attr=ATTR)


def _unsupported(what: str) -> ValidationFailed:
    return _invalid(
        f"It needs more than one event after another, and this version knows no {what} yet. What it reads is a list of "
        "columns of events, with a condition in WHERE"
    )
