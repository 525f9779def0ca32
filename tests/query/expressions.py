"""Expressions of every kind, made up: any that the functions' table allows, on constants that trouble databases."""

from datetime import UTC, date, datetime

from hypothesis import strategies as st

from app.query.calls import call
from app.query.columns import COLUMNS
from app.query.errors import NotUnderstood
from app.query.formats import PARTS
from app.query.functions import FUNCTIONS, JSON_TYPES, UNITS, Kind
from app.query.patterns import check_regexp
from app.query.tree import Constant, Expression, Property, Type

KEYS = ("text", "int", "float", "huge", "flag", "null", "list", "object", "json", "date", "odd", "missing", "a'b\\\"")

TEXTS = st.one_of(
    st.sampled_from(
        ["", "a", "é🦔", "1e999", "'; DROP TABLE event_store.events; --", "\\", "%", "_", '{"a": [1]}', "[" * 2000,
         "2026-02-28", "0001-01-01", "9999-12-31T23:59:59.999999", "2026-03-29 02:30:00", "true", "$1", "%s", "{0}"]
    ),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20),
)  # fmt: skip
INTEGERS = st.one_of(
    st.sampled_from([0, 1, -1, 2**31, -(2**31) - 1, 2**63 - 1, -(2**63)]),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-50, 50),
)
FLOATS = st.one_of(
    st.sampled_from([0.0, -0.0, 1.7976931348623157e308, -1.7976931348623157e308, 5e-324, 2.5, 1e-300, 1e300]),
    st.floats(allow_nan=False, allow_infinity=False),
)
MOMENTS = st.one_of(
    st.sampled_from([datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC)]),
    st.datetimes(timezones=st.just(UTC)),
)
ZONES = ["UTC", "Asia/Kathmandu", "America/St_Johns", "Pacific/Kiritimati", "Africa/Monrovia"]
MARKS = st.text(st.sampled_from(list("ab.*+?()[]{}|^$\\dwsbBAzxQpE0129,-:<>P=!imsé\n ")), max_size=12)
"""Of which some happen to be regular expressions."""


def is_regexp(text: str) -> bool:
    try:
        return bool(check_regexp(text))
    except NotUnderstood:
        return False


PATTERNS = st.one_of(
    st.sampled_from(["", "a", "(?i)a(b)?", "[[:alpha:]]+?", "^.{0,255}$", "a|"]), MARKS.filter(is_regexp)
)

CONSTANTS = {
    Kind.PATTERN: PATTERNS,
    Kind.LIKE: TEXTS.filter(lambda text: not text.endswith("\\")),
    Kind.REPLACEMENT: st.one_of(TEXTS, st.sampled_from(["\\0\\1", "\\9", "\\\\&", "\\x", "&"])),
    Kind.ZONE: st.sampled_from(ZONES),
    Kind.UNIT: st.sampled_from(UNITS),
    Kind.FORMAT: st.lists(st.one_of(st.sampled_from(PARTS), TEXTS.filter(lambda text: "%" not in text))).map("".join),
    Kind.KEY: st.one_of(st.sampled_from(KEYS), st.sampled_from([1, -1, 2, 2**31 - 1, -(2**31) + 1])),
    Kind.DIGITS: st.integers(-15, 15),
    Kind.JSON_TYPE: st.sampled_from(list(JSON_TYPES)),
}


def constant(value: str | int) -> Constant:
    return Constant(value, Type.STRING if isinstance(value, str) else Type.INTEGER)


LEAVES: st.SearchStrategy[Expression] = st.one_of(
    TEXTS.map(constant),
    INTEGERS.map(constant),
    FLOATS.map(lambda value: Constant(value, Type.FLOAT)),
    st.booleans().map(lambda value: Constant(value, Type.BOOLEAN)),
    MOMENTS.map(lambda value: Constant(value, Type.DATETIME)),
    st.dates(min_value=date(1, 1, 1)).map(lambda value: Constant(value, Type.DATE)),
    st.just(Constant(None, Type.NULL)),
    st.sampled_from(list(COLUMNS.values())),
    st.builds(
        Property,
        st.sampled_from([COLUMNS["properties"], COLUMNS["person_properties"]]),
        st.lists(st.one_of(st.sampled_from(KEYS), st.integers(-3, 3)), min_size=1, max_size=3).map(tuple),
    ),
)


READ_BY = {
    Kind.NUMBER: "toFloat",
    Kind.FLOAT: "toFloat",
    Kind.INTEGER: "toInt",
    Kind.CONDITION: "toBool",
    Kind.MOMENT: "toDateTime",
    Kind.TIME: "toDate",
    Kind.STRINGS: "array",
}


def fitted(kind: Kind, argument: Expression) -> Expression:
    """Of a type that the kind surely takes."""
    if kind in CONSTANTS:
        return argument
    text = call("toString", (argument,))
    return call(READ_BY[kind], (text,)) if kind in READ_BY else text


@st.composite
def calls(draw: st.DrawFn, below: st.SearchStrategy[Expression]) -> Expression:
    """A call, of its arguments as they are where it takes them."""
    name = draw(st.sampled_from(list(FUNCTIONS)))
    function = FUNCTIONS[name]
    kinds = list(function.arguments)
    kinds = kinds[: draw(st.integers(function.least, len(kinds)))]
    if function.many and name not in ("multiIf", "JSONExtract") and len(kinds) == len(function.arguments):
        kinds += [kinds[-1]] * draw(st.integers(0, 2))
    arguments = [draw(CONSTANTS[kind].map(constant)) if kind in CONSTANTS else draw(below) for kind in kinds]
    try:
        return call(name, arguments)
    except NotUnderstood:
        kinds = kinds if name != "multiIf" else [Kind.CONDITION, Kind.VALUE, Kind.VALUE]
        return call(name, [fitted(kind, one) for kind, one in zip(kinds, arguments, strict=True)])


EXPRESSIONS = st.recursive(LEAVES, calls, max_leaves=12)
"""What a query could hold."""
