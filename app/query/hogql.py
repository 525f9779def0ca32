"""HogQL to the expression tree: names are looked up, and every node has its type, before a row is read."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlglot import exp

from app.query.calls import call, known
from app.query.conversions import converted
from app.query.dialect import parse_expression
from app.query.errors import NotUnderstood
from app.query.functions import UNITS
from app.query.names import Unexportable, check_names, is_whole, member, number, path, spelt, text
from app.query.tree import Call, Constant, Expression, Type

MAX_SIZE: Final = 5000
"""Nodes of one expression; a hundred conditions have fewer than a thousand."""
MAX_DEPTH: Final = 60
"""Of calls within calls. Every dialect's parser has some limit of its own, far beyond."""


def condition(text: str) -> Expression:
    """A condition on events.

    :raises NotUnderstood: for anything else.
    """
    parsed = parse_expression(text)
    if unreadable := check_names(parsed, (), "events"):
        raise Unexportable(unreadable)
    return checked(converted(translate(parsed, {}, "events"), Type.BOOLEAN))


def checked(expression: Expression) -> Expression:
    """:raises NotUnderstood: for one that is too large, as it may become by its parts being repeated."""
    sizes: dict[int, tuple[int, int]] = {}

    def measure(one: Expression) -> tuple[int, int]:
        if id(one) not in sizes:
            parts = [measure(part) for part in one.arguments] if isinstance(one, Call) else []
            sizes[id(one)] = 1 + sum(size for size, _ in parts), 1 + max((depth for _, depth in parts), default=0)
        return sizes[id(one)]

    size, depth = measure(expression)
    if size > MAX_SIZE or depth > MAX_DEPTH:
        raise NotUnderstood("The expression is too large, or nested too deeply")
    return expression


def translate(node: exp.Expr, aliases: Mapping[str, Expression], table: str) -> Expression:
    """The same in the tree. ``aliases`` are expressions that may be named, ``table`` what ``events`` is called.

    :raises NotUnderstood: for what there is not.
    """

    def of(one: Any) -> Expression:
        return translate(one, aliases, table)

    match node:
        case exp.Paren():
            return of(node.this)
        case exp.Literal():
            return text(node.this) if node.is_string else number(node.this)
        case exp.Boolean():
            return Constant(bool(node.this), Type.BOOLEAN)
        case exp.Null():
            return Constant(None, Type.NULL)
        case exp.Column():
            return path(node, aliases, table)
        case exp.Dot():
            return member(of(node.this), spelt(node.expression))
        case exp.Bracket() if len(node.expressions) == 1:
            return member(of(node.this), of(node.expressions[0]))
        case exp.Neg(this=exp.Literal(is_string=False) as literal):
            return number(f"-{literal.this}")
        case exp.Anonymous():
            return _function(node, of)
        case exp.And() | exp.Or():
            return call(node.key, [of(one) for one in node.flatten()])
        case exp.DPipe():
            return call("concat", [of(one) for one in node.flatten()])
        case exp.Add() | exp.Sub() if isinstance(node.expression, exp.Interval) or isinstance(node.this, exp.Interval):
            return _moved(node, of)
        case exp.Like() | exp.ILike():
            negated = bool(node.args.get("negate"))
            return call(_LIKES[node.key, negated], (of(node.this), of(node.expression)))
        case exp.In():
            return _membership(node, of)
        case exp.Between():
            return call("between", (of(node.this), of(node.args["low"]), of(node.args["high"])))
        case exp.Is():
            return _identity(of(node.this), of(node.expression))
        case exp.Case():
            return _case(node, of)
        case exp.Cast():
            return _cast(of(node.this), node.to)
        case exp.Array():
            return call("array", [of(one) for one in node.expressions])
        case exp.Coalesce():
            return call("coalesce", [of(node.this), *(of(one) for one in node.expressions)])
        case exp.Not(this=exp.In() as membership):
            return _membership(membership, of, negated=True)
        case exp.Not(this=exp.Is(this=tested, expression=exp.Null())):
            return call("isNotNull", (of(tested),))
        case _ if node.key in _OPERATORS:
            parts = [node.args[part] for part in ("this", "expression") if node.args.get(part) is not None]
            return call(_OPERATORS[node.key], [of(one) for one in parts])
    raise NotUnderstood(f"Unsupported expression: {node.key}")


_OPERATORS: Final = {
    "eq": "equals",
    "neq": "notEquals",
    "lt": "less",
    "lte": "lessOrEquals",
    "gt": "greater",
    "gte": "greaterOrEquals",
    "add": "plus",
    "sub": "minus",
    "mul": "multiply",
    "div": "divide",
    "intdiv": "intDiv",
    "mod": "modulo",
    "neg": "negate",
    "not": "not",
    "regexplike": "match",
}
_LIKES: Final = {
    ("like", False): "like",
    ("like", True): "notLike",
    ("ilike", False): "ilike",
    ("ilike", True): "notILike",
}
_CASTS: Final = {
    "toString": ("TEXT", "VARCHAR"),
    "toInt": ("BIGINT", "INT"),
    "toFloat": ("DOUBLE", "FLOAT", "FLOAT64"),
    "toBool": ("BOOLEAN",),
    "toDateTime": ("DATETIME", "TIMESTAMP", "DATETIME64"),
    "toDate": ("DATE",),
    "toUUID": ("UUID",),
}
Translate = Callable[[Any], Expression]


def _function(node: exp.Anonymous, of: Translate) -> Expression:
    name = known(str(node.this))
    if name in ("in", "notIn") and len(node.expressions) == 2:
        return _in(of(node.expressions[0]), node.expressions[1], of, name)
    return call(name, [of(one) for one in node.expressions])


def _membership(node: exp.In, of: Translate, *, negated: bool = False) -> Expression:
    listed = node.args.get("field") or exp.Tuple(expressions=node.expressions)
    return _in(of(node.this), listed, of, "notIn" if negated else "in")


def _in(value: Expression, listed: exp.Expr, of: Translate, name: str) -> Expression:
    """A list, a single value, or an expression that yields strings."""
    is_tuple = isinstance(listed, exp.Anonymous) and str(listed.this).lower() == "tuple"
    members = [of(one) for one in listed.expressions] if isinstance(listed, exp.Tuple | exp.Array) or is_tuple else None
    if members is None:
        found = of(listed)
        if found.type == Type.STRINGS:
            has = call("has", (found, value))
            return has if name == "in" else call("not", (has,))
        members = [found]
    return call(name, [value, *members])


def _identity(value: Expression, other: Expression) -> Expression:
    return call("isNull", (value,)) if other.type == Type.NULL else call("equals", (value, other))


def _case(node: exp.Case, of: Translate) -> Expression:
    subject = of(node.this) if node.this is not None else None
    parts: list[Expression] = []
    for branch in node.args["ifs"]:
        tested = of(branch.this)
        parts += [tested if subject is None else call("equals", (subject, tested)), of(branch.args["true"])]
    default = node.args.get("default")
    return call("multiIf", [*parts, of(default) if default is not None else Constant(None, Type.NULL)])


def _cast(value: Expression, to: exp.DataType) -> Expression:
    kind = str(to.args.get("kind") or to.this.name).upper()
    name = next((name for name, kinds in _CASTS.items() if kind in kinds and not to.expressions), None)
    if name is None:
        raise NotUnderstood("A value can be cast to String, Int64, Float64, Bool, DateTime, Date and UUID")
    return call(name, (value,))


def _moved(node: exp.Add | exp.Sub, of: Translate) -> Expression:
    """A time and an interval."""
    moment, interval = node.this, node.expression
    if isinstance(moment, exp.Interval) and isinstance(node, exp.Add):
        moment, interval = interval, moment
    if isinstance(moment, exp.Interval) or interval.args.get("unit") is None:
        raise NotUnderstood("An interval is added to a time, or taken from it: timestamp + INTERVAL 1 DAY")
    unit = str(interval.args["unit"].name).lower().removesuffix("s")
    if unit not in UNITS:
        raise NotUnderstood(f"There is no unit of time '{unit}'; there are: {', '.join(UNITS)}")
    amount = interval.this
    count = number(amount.this) if isinstance(amount, exp.Literal) and is_whole(amount.this) else of(amount)
    name = f"{'add' if isinstance(node, exp.Add) else 'subtract'}{unit.capitalize()}s"
    return call(name, (of(moment), count))
