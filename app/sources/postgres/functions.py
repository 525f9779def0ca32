"""HogQL's functions in SQL: one entry each, made of the SQL of its arguments.

No argument stands in an entry twice: what is nested would double at every level. Functions of the schema
``event_store`` do what takes more than that, and give null where Postgres has an error.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from app.query.tree import Call, Type
from app.sources.postgres.moments import MOMENTS

Write: TypeAlias = Callable[..., str]
"""From the SQL of the arguments."""

TYPES: Final[Mapping[Type, str]] = {
    Type.STRING: "text",
    Type.INTEGER: "bigint",
    Type.FLOAT: "float8",
    Type.BOOLEAN: "boolean",
    Type.DATETIME: "timestamptz",
    Type.DATE: "date",
    Type.UUID: "uuid",
    Type.JSON: "json",
    Type.STRINGS: "text[]",
    Type.NULL: "text",
}
ORDER: Final = {Type.STRING: ' COLLATE "C"'}
"""Text is ordered by its code points, wherever the database is."""

URL_PARTS: Final[Mapping[str, str]] = {
    "protocol": "^([A-Za-z][A-Za-z0-9+.-]*)://",
    "domain": "^(?:[A-Za-z][A-Za-z0-9+.-]*:)?//(?:[^/?#@]*@)?([^/?#:]*)",
    "path": "^(?:(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#]*)?(/[^?#]*)",
    "cutQueryString": "^([^?#]*)",
}


def written(call: Call, arguments: Sequence[str]) -> str:
    """The call in SQL, in parentheses or the like."""
    kinds = [one.type for one in call.arguments]
    name = call.function
    if name in SIMPLE:
        return SIMPLE[name].format(*arguments)
    return (TYPED.get(name) or MOMENTS[name])(kinds, *arguments)


SIMPLE: Final[Mapping[str, str]] = {
    # Comparisons are true or false: null is equal to null, and to nothing else.
    "like": "coalesce({0} LIKE {1}, false)",
    "notLike": "coalesce({0} NOT LIKE {1}, true)",
    "ilike": "coalesce({0} ILIKE {1}, false)",
    "notILike": "coalesce({0} NOT ILIKE {1}, true)",
    "match": "coalesce({0} ~ {1}, false)",
    "not": "(NOT {0})",
    "if": "(CASE WHEN {0} THEN {1} ELSE {2} END)",
    "ifNull": "coalesce({0}, {1})",
    "isNull": "({0} IS NULL)",
    "isNotNull": "({0} IS NOT NULL)",
    "divide": "event_store.divide({0}, {1})",
    "intDiv": "event_store.quotient({0}, {1})",
    "modulo": "event_store.remainder({0}, {1})",
    "sqrt": "event_store.root({0})",
    "exp": "event_store.exponential({0})",
    "log": "event_store.logarithm({0}, 0)",
    "log2": "event_store.logarithm({0}, 2)",
    "log10": "event_store.logarithm({0}, 10)",
    "pow": "event_store.raise({0}, {1})",
    "toIntOrZero": "coalesce(event_store.to_int({0}), 0)",
    "toFloatOrZero": "coalesce(event_store.to_float({0}), 0)",
    "lower": "lower({0})",
    "upper": "upper({0})",
    "reverse": "reverse({0})",
    "trim": "btrim({0})",
    "trimLeft": "ltrim({0})",
    "trimRight": "rtrim({0})",
    "left": "left({0}, event_store.clamped({1}))",
    "right": "right({0}, event_store.clamped({1}))",
    "position": "strpos({0}, {1})::bigint",
    "positionCaseInsensitive": "strpos(lower({0}), lower({1}))::bigint",
    "startsWith": "coalesce(starts_with({0}, {1}), false)",
    "endsWith": "coalesce(starts_with(reverse({0}), reverse({1})), false)",
    "replaceOne": "event_store.replaced({0}, {1}, {2}, true)",
    "replaceAll": "event_store.replaced({0}, {1}, {2}, false)",
    "replaceRegexpOne": "event_store.replaced_matches({0}, {1}, {2}, '')",
    "replaceRegexpAll": "event_store.replaced_matches({0}, {1}, {2}, 'g')",
    "extract": "event_store.extracted({0}, {1})",
    **{name: f"event_store.extracted({{0}}, '{pattern}')" for name, pattern in URL_PARTS.items()},
    "splitByString": "event_store.split({1}, {0})",
    "splitByChar": "event_store.split({1}, {0})",
    "arrayElement": "event_store.element({0}, {1})",
    "has": "coalesce({1} = ANY ({0}), false)",
    "indexOf": "coalesce(array_position({0}, {1}), 0)::bigint",
    "toUnixTimestamp": "event_store.unix_time({0}, 1)",
    "toUnixTimestamp64Milli": "event_store.unix_time({0}, 1000)",
    "fromUnixTimestamp": "event_store.to_moment({0}::float8)",
    "fromUnixTimestamp64Milli": "event_store.to_moment({0} / 1000.0::float8)",
}


def _compared(operator: str) -> Write:
    return lambda _, one, other: f"({one} {operator} {other})"


def _ranked(operator: str) -> Write:
    def write(kinds: Sequence[Type], one: str, other: str) -> str:
        return f"coalesce({one}{ORDER.get(kinds[0], '')} {operator} {other}, false)"

    return write


def _between(kinds: Sequence[Type], value: str, low: str, high: str) -> str:
    return f"coalesce({value}{ORDER.get(kinds[0], '')} BETWEEN {low} AND {high}, false)"


def _in(_: Sequence[Type], value: str, *members: str) -> str:
    return f"coalesce({value} IN ({', '.join(members)}), false)"


def _joined(operator: str) -> Write:
    return lambda _, *arguments: f"({f' {operator} '.join(arguments)})"


def _branches(_: Sequence[Type], *arguments: str) -> str:
    whens = " ".join(
        f"WHEN {condition} THEN {value}" for condition, value in zip(arguments[::2], arguments[1::2], strict=False)
    )
    return f"(CASE {whens} ELSE {arguments[-1]} END)"


def _listed(function: str) -> Write:
    def write(kinds: Sequence[Type], *arguments: str) -> str:
        collate = ORDER.get(kinds[0], "") if function != "coalesce" else ""
        return f"{function}({', '.join(f'{one}{collate}' for one in arguments)})"

    return write


def _arithmetic(operator: str, function: str) -> Write:
    def write(kinds: Sequence[Type], one: str, other: str) -> str:
        if kinds[0] == Type.INTEGER:
            return f"event_store.to_int({one}::numeric {operator} {other}::numeric)"
        return f"event_store.{function}({one}, {'-' if operator == '-' else ''}{other})"

    return write


def _unary(integer: str, floating: str) -> Write:
    return lambda kinds, one: (integer if kinds[0] == Type.INTEGER else floating).format(one)


def _round(kinds: Sequence[Type], value: str, digits: str = "0") -> str:
    if kinds[0] == Type.INTEGER:
        return f"event_store.to_int(round({value}::numeric, event_store.clamped({digits})))"
    if len(kinds) == 1:
        return f"round({value})"
    return f"event_store.rounded({value}, event_store.clamped({digits}))"


def _to_string(kinds: Sequence[Type], value: str) -> str:
    match kinds[0]:
        case Type.DATETIME:
            return f"to_char({value} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"
        case Type.DATE:
            return f"to_char({value}, 'YYYY-MM-DD')"
        case Type.STRINGS:
            return f"array_to_json({value})::text"
    return f"{value}::text"


def _to_int(kinds: Sequence[Type], value: str) -> str:
    match kinds[0]:
        case Type.STRING | Type.FLOAT:
            return f"event_store.to_int({value})"
        case Type.BOOLEAN:
            return f"{value}::int::bigint"
        case Type.DATETIME:
            return f"event_store.unix_time({value}, 1)"
        case Type.DATE:
            return f"({value} - date '1970-01-01')::bigint"
    return f"{value}::bigint"


def _to_float(kinds: Sequence[Type], value: str) -> str:
    match kinds[0]:
        case Type.STRING:
            return f"event_store.to_float({value})"
        case Type.BOOLEAN:
            return f"{value}::int::float8"
    return f"{value}::float8"


def _to_bool(kinds: Sequence[Type], value: str) -> str:
    match kinds[0]:
        case Type.STRING:
            return f"event_store.to_bool({value})"
        case Type.INTEGER | Type.FLOAT:
            return f"({value} <> 0)"
    return f"{value}::boolean"


def _to_uuid(kinds: Sequence[Type], value: str) -> str:
    return f"event_store.to_uuid({value})" if kinds[0] == Type.STRING else f"{value}::uuid"


def _length(kinds: Sequence[Type], value: str) -> str:
    return f"{'cardinality' if kinds[0] == Type.STRINGS else 'length'}({value})::bigint"


def _empty(operator: str) -> Write:
    return lambda kinds, value: f"({_length(kinds, value)} {operator} 0)"


def _substring(_: Sequence[Type], value: str, place: str, size: str = "1000000000") -> str:
    return f"event_store.part_of_text({value}, {place}, {size})"


def _array(_: Sequence[Type], *members: str) -> str:
    # Lists hold no nulls: readers of text[] differ about them.
    return f"array_remove(ARRAY[{', '.join(members)}]::text[], NULL)"


def _join(_: Sequence[Type], value: str, separator: str = "''") -> str:
    return f"array_to_string({value}, {separator})"


TYPED: Final[Mapping[str, Write]] = {
    "equals": _compared("IS NOT DISTINCT FROM"),
    "notEquals": _compared("IS DISTINCT FROM"),
    "less": _ranked("<"),
    "lessOrEquals": _ranked("<="),
    "greater": _ranked(">"),
    "greaterOrEquals": _ranked(">="),
    "between": _between,
    "in": _in,
    "notIn": lambda *arguments: f"(NOT {_in(*arguments)})",
    "and": _joined("AND"),
    "or": _joined("OR"),
    "multiIf": _branches,
    "coalesce": _listed("coalesce"),
    "greatest": _listed("greatest"),
    "least": _listed("least"),
    "nullIf": lambda _, one, other: f"nullif({one}, {other})",
    "plus": _arithmetic("+", "add"),
    "minus": _arithmetic("-", "add"),
    "multiply": _arithmetic("*", "multiply"),
    "negate": _unary("event_store.to_int(-{0}::numeric)", "(-{0})"),
    "abs": _unary("event_store.to_int(abs({0}::numeric))", "abs({0})"),
    "floor": _unary("{0}", "floor({0})"),
    "ceil": _unary("{0}", "ceil({0})"),
    "round": _round,
    "toString": _to_string,
    "toInt": _to_int,
    "toFloat": _to_float,
    "toBool": _to_bool,
    "toUUID": _to_uuid,
    "length": _length,
    "empty": _empty("="),
    "notEmpty": _empty("<>"),
    "concat": lambda _, *arguments: f"concat({', '.join(arguments)})",
    "substring": _substring,
    "array": _array,
    "arrayStringConcat": _join,
}
