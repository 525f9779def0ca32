"""The select list of an export of events (the contract's section 9.5): a whole query in, its columns out."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sqlglot import exp

from app.errors import ValidationFailed
from app.query.columns import COLUMNS
from app.query.dialect import parse_select
from app.query.errors import NotParsed, NotUnderstood
from app.query.hogql import checked, translate
from app.query.names import Subquery, Unexportable, check_names
from app.query.printing import alias_of
from app.query.tree import Expression, Field

MOST_FIELDS: Final = 500

_NONE: Final[Mapping[str, Expression]] = MappingProxyType({})
_TABLE: Final = frozenset({"this", "alias", "only"})
_WITHOUT_EFFECT: Final = frozenset({"expressions", "from_", "where", "order", "limit", "offset"})
"""Clauses that a query may have. Which rows are exported is not for it to say: all but the list is left aside."""


def select_list(query: str) -> tuple[Field, ...]:
    """The columns of a query, in order. No two have the same name.

    :raises ValidationFailed: in the contract's words.
    """
    try:
        return fields_of(_select(query))
    except NotParsed:
        raise ValidationFailed("Failed to parse query") from None
    except (Subquery, Unexportable) as error:
        raise ValidationFailed(str(error)) from None
    except NotUnderstood as error:
        raise ValidationFailed(f"Invalid HogQL query: {error}") from None
    except RecursionError:
        raise ValidationFailed("Invalid HogQL query: It is nested too deeply") from None


def _select(query: str) -> exp.Select:
    parsed = parse_select(query)
    if isinstance(parsed, exp.SetOperation):
        raise ValidationFailed("UNIONs are not supported")
    if parsed.args.get("from_") is None:
        raise ValidationFailed("Query must SELECT FROM events")
    table = parsed.args["from_"].this
    if parsed.args.get("with_"):
        raise ValidationFailed("CTEs are not supported")
    if isinstance(table, exp.Query):
        raise ValidationFailed("Subqueries are not supported")
    if not (isinstance(table, exp.Table) and isinstance(table.this, exp.Identifier)) or _name(table) != "events":
        raise ValidationFailed("Query must only SELECT FROM events")
    if parsed.args.get("joins") or parsed.args.get("laterals") or table.args.get("joins"):
        raise ValidationFailed("JOINs are not supported")
    if _given(parsed) - _WITHOUT_EFFECT or _given(table) - _TABLE:
        raise ValidationFailed("Unsupported HogQL query")
    return parsed


def _name(table: exp.Table) -> str:
    return ".".join(part.name for part in table.parts)


def _given(node: exp.Expr) -> set[str]:
    return {name for name, value in node.args.items() if value}


def fields_of(select: exp.Select, constants: Mapping[str, Expression] = _NONE) -> tuple[Field, ...]:
    """The columns of a select list; ``constants`` are values that have names in it.

    :raises NotUnderstood: for a list that cannot be read.
    """
    table = select.args["from_"].this.alias_or_name
    unreadable: set[str] = set()
    names: set[str] = set(constants)
    for item in select.expressions:
        unreadable |= check_names(item, names, table)
        names |= {item.alias} if isinstance(item, exp.Alias) else set()
    if unreadable:
        raise Unexportable(unreadable)
    fields: dict[str, Expression] = {}
    for item in select.expressions:
        for alias, expression in _columns(item, {**constants, **fields}, table).items():
            if alias in fields:
                raise NotUnderstood(f"There are two columns named '{alias}'")
            if not alias:
                raise NotUnderstood("A column needs a name; give it one with AS")
            fields[alias] = expression
    if len(fields) > MOST_FIELDS:
        raise NotUnderstood(f"There are more than {MOST_FIELDS} columns")
    return tuple(Field(alias, expression) for alias, expression in fields.items())


def _columns(item: exp.Expr, aliases: Mapping[str, Expression], table: str) -> dict[str, Expression]:
    if _is_star(item, table):
        return dict(COLUMNS)
    named = isinstance(item, exp.Alias)
    parsed = item.this if named else item
    expression = checked(translate(parsed, aliases, table))
    return {item.alias if named else alias_of(expression): expression}


def _is_star(item: exp.Expr, table: str) -> bool:
    if isinstance(item, exp.Column) and item.table in (table, "events"):
        item = item.this
    return isinstance(item, exp.Star) and not _given(item)
