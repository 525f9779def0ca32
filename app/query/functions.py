"""The functions of HogQL that there are: what each takes and gives. ``docs/hogql.md`` tells what they do.

Names are those of HogQL, which are ClickHouse's. A dialect has SQL for each of them, and for nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from app.query.tree import Type


class Kind(Enum):
    """What an argument is for. One of another type is converted where that can be meant, and refused otherwise."""

    ANY = auto()
    TEXT = auto()
    """Whatever it is, it is printed."""
    NUMBER = auto()
    """Int64 if all numbers of the call are, else Float64. Text is read."""
    FLOAT = auto()
    INTEGER = auto()
    CONDITION = auto()
    MOMENT = auto()
    """A DateTime; a Date is its first moment, in UTC."""
    TIME = auto()
    """A DateTime or a Date."""
    JSON = auto()
    """A JSON column, or text that holds JSON."""
    STRINGS = auto()
    SEQUENCE = auto()
    """Text, or a list of strings."""
    VALUE = auto()
    """All of these of a call become of one type."""
    ORDERED = auto()
    """The same, and they have an order."""
    COMPARED = auto()
    """All of these of a call become of a type in which they can be compared."""
    RANKED = auto()
    # What follows must be constants, for a mistake in them is then told at once.
    PATTERN = auto()
    LIKE = auto()
    REPLACEMENT = auto()
    ZONE = auto()
    UNIT = auto()
    FORMAT = auto()
    KEY = auto()
    DIGITS = auto()
    JSON_TYPE = auto()


class Result(Enum):
    """Types that are those of the arguments, once these have been converted."""

    FIRST = auto()
    """The first argument's."""
    LAST = auto()
    """The last one's."""
    NAMED = auto()
    """The one that the last argument names."""


@dataclass(frozen=True, slots=True)
class Function:
    arguments: tuple[Kind, ...]
    result: Type | Result
    least: int
    """So many arguments must be given; the others may be left out."""
    many: bool
    """The last kind may come again and again."""
    accepts: frozenset[Type] | None
    """The types of the first argument; None: its kind says all."""


def _function(
    *arguments: Kind,
    to: Type | Result,
    optional: int = 0,
    many: bool = False,
    accepts: frozenset[Type] | None = None,
) -> Function:
    return Function(arguments, to, len(arguments) - optional, many, accepts)


_TEXT, _NUMBER, _CONDITION, _MOMENT = Kind.TEXT, Kind.NUMBER, Kind.CONDITION, Kind.MOMENT
_STRING, _INT, _FLOAT, _BOOL = Type.STRING, Type.INTEGER, Type.FLOAT, Type.BOOLEAN
_DATETIME, _DATE = Type.DATETIME, Type.DATE
_SCALARS = frozenset({_STRING, _INT, _FLOAT, _BOOL, Type.NULL})

_EQUAL = _function(Kind.COMPARED, Kind.COMPARED, to=_BOOL)
_RANK = _function(Kind.RANKED, Kind.RANKED, to=_BOOL)
_IN = _function(Kind.COMPARED, Kind.COMPARED, to=_BOOL, many=True)
_LOGIC = _function(_CONDITION, _CONDITION, to=_BOOL, many=True)
_BEST = _function(Kind.ORDERED, Kind.ORDERED, to=Result.FIRST, many=True)
_ARITHMETIC = _function(_NUMBER, _NUMBER, to=Result.FIRST)
_UNARY = _function(_NUMBER, to=Result.FIRST)
_REAL = _function(Kind.FLOAT, to=_FLOAT)
_OF_TEXT = _function(_TEXT, to=_STRING)
_TESTS_TEXT = _function(_TEXT, _TEXT, to=_BOOL)
_LIKE = _function(_TEXT, Kind.LIKE, to=_BOOL)
_REPLACE = _function(_TEXT, _TEXT, _TEXT, to=_STRING)
_REPLACE_REGEXP = _function(_TEXT, Kind.PATTERN, Kind.REPLACEMENT, to=_STRING)
_CUT = _function(_TEXT, Kind.INTEGER, to=_STRING)
_SPLIT = _function(_TEXT, _TEXT, to=Type.STRINGS)
_START = _function(_MOMENT, Kind.ZONE, to=_DATETIME, optional=1)
_START_DAY = _function(_MOMENT, Kind.ZONE, to=_DATE, optional=1)
_PART = _function(_MOMENT, Kind.ZONE, to=_INT, optional=1)
_ADD_DAYS = _function(Kind.TIME, Kind.INTEGER, to=Result.FIRST)
_ADD_TIME = _function(_MOMENT, Kind.INTEGER, to=_DATETIME)
_SHIFTS = ("add", "subtract")
_JSON_RAW = _function(Kind.JSON, Kind.KEY, to=_STRING, optional=1, many=True)
_JSON_ITEMS = _function(Kind.JSON, Kind.KEY, to=Type.STRINGS, optional=1, many=True)

FUNCTIONS: Final[Mapping[str, Function]] = {
    # Comparisons.
    "equals": _EQUAL,
    "notEquals": _EQUAL,
    "less": _RANK,
    "lessOrEquals": _RANK,
    "greater": _RANK,
    "greaterOrEquals": _RANK,
    "between": _function(Kind.RANKED, Kind.RANKED, Kind.RANKED, to=_BOOL),
    "in": _IN,
    "notIn": _IN,
    "like": _LIKE,
    "notLike": _LIKE,
    "ilike": _LIKE,
    "notILike": _LIKE,
    "match": _function(_TEXT, Kind.PATTERN, to=_BOOL),
    # Logic.
    "and": _LOGIC,
    "or": _LOGIC,
    "not": _function(_CONDITION, to=_BOOL),
    "if": _function(_CONDITION, Kind.VALUE, Kind.VALUE, to=Result.LAST),
    "multiIf": _function(_CONDITION, Kind.VALUE, Kind.VALUE, to=Result.LAST, many=True),
    "coalesce": _function(Kind.VALUE, to=Result.FIRST, many=True),
    "ifNull": _function(Kind.VALUE, Kind.VALUE, to=Result.FIRST),
    "nullIf": _function(Kind.COMPARED, Kind.COMPARED, to=Result.FIRST),
    "isNull": _function(Kind.ANY, to=_BOOL),
    "isNotNull": _function(Kind.ANY, to=_BOOL),
    # Numbers.
    "plus": _ARITHMETIC,
    "minus": _ARITHMETIC,
    "multiply": _ARITHMETIC,
    "divide": _function(Kind.FLOAT, Kind.FLOAT, to=_FLOAT),
    "intDiv": _function(Kind.INTEGER, Kind.INTEGER, to=_INT),
    "modulo": _function(Kind.INTEGER, Kind.INTEGER, to=_INT),
    "negate": _UNARY,
    "abs": _UNARY,
    "floor": _UNARY,
    "ceil": _UNARY,
    "round": _function(_NUMBER, Kind.DIGITS, to=Result.FIRST, optional=1),
    "sqrt": _REAL,
    "exp": _REAL,
    "log": _REAL,
    "log2": _REAL,
    "log10": _REAL,
    "pow": _function(Kind.FLOAT, Kind.FLOAT, to=_FLOAT),
    "greatest": _BEST,
    "least": _BEST,
    # Conversions.
    "toString": _function(Kind.ANY, to=_STRING),
    "toInt": _function(Kind.ANY, to=_INT, accepts=_SCALARS | {_DATETIME, _DATE}),
    "toFloat": _function(Kind.ANY, to=_FLOAT, accepts=_SCALARS),
    "toIntOrZero": _function(_TEXT, to=_INT),
    "toFloatOrZero": _function(_TEXT, to=_FLOAT),
    "toBool": _function(Kind.ANY, to=_BOOL, accepts=_SCALARS),
    "toUUID": _function(Kind.ANY, to=Type.UUID, accepts=frozenset({_STRING, Type.UUID, Type.NULL})),
    "toDateTime": _function(
        Kind.ANY, Kind.ZONE, to=_DATETIME, optional=1, accepts=_SCALARS - {_BOOL} | {_DATETIME, _DATE}
    ),
    "toDate": _function(
        Kind.ANY, Kind.ZONE, to=_DATE, optional=1, accepts=frozenset({_STRING, _DATETIME, _DATE, Type.NULL})
    ),
    # Text.
    "length": _function(Kind.SEQUENCE, to=_INT),
    "empty": _function(Kind.SEQUENCE, to=_BOOL),
    "notEmpty": _function(Kind.SEQUENCE, to=_BOOL),
    "lower": _OF_TEXT,
    "upper": _OF_TEXT,
    "reverse": _OF_TEXT,
    "trim": _OF_TEXT,
    "trimLeft": _OF_TEXT,
    "trimRight": _OF_TEXT,
    "concat": _function(_TEXT, to=_STRING, many=True),
    "substring": _function(_TEXT, Kind.INTEGER, Kind.INTEGER, to=_STRING, optional=1),
    "left": _CUT,
    "right": _CUT,
    "position": _function(_TEXT, _TEXT, to=_INT),
    "positionCaseInsensitive": _function(_TEXT, _TEXT, to=_INT),
    "startsWith": _TESTS_TEXT,
    "endsWith": _TESTS_TEXT,
    "replaceOne": _REPLACE,
    "replaceAll": _REPLACE,
    "replaceRegexpOne": _REPLACE_REGEXP,
    "replaceRegexpAll": _REPLACE_REGEXP,
    "extract": _function(_TEXT, Kind.PATTERN, to=_STRING),
    "protocol": _OF_TEXT,
    "domain": _OF_TEXT,
    "path": _OF_TEXT,
    "cutQueryString": _OF_TEXT,
    # Lists of strings.
    "array": _function(_TEXT, to=Type.STRINGS, optional=1, many=True),
    "splitByString": _SPLIT,
    "splitByChar": _SPLIT,
    "arrayElement": _function(Kind.STRINGS, Kind.INTEGER, to=_STRING),
    "arrayStringConcat": _function(Kind.STRINGS, _TEXT, to=_STRING, optional=1),
    "has": _function(Kind.STRINGS, _TEXT, to=_BOOL),
    "indexOf": _function(Kind.STRINGS, _TEXT, to=_INT),
    # JSON.
    "JSONExtractString": _JSON_RAW,
    "JSONExtractInt": _function(Kind.JSON, Kind.KEY, to=_INT, optional=1, many=True),
    "JSONExtractFloat": _function(Kind.JSON, Kind.KEY, to=_FLOAT, optional=1, many=True),
    "JSONExtractBool": _function(Kind.JSON, Kind.KEY, to=_BOOL, optional=1, many=True),
    "JSONExtractRaw": _JSON_RAW,
    "JSONExtractArrayRaw": _JSON_ITEMS,
    "JSONExtractKeys": _JSON_ITEMS,
    "JSONExtract": _function(Kind.JSON, Kind.KEY, Kind.JSON_TYPE, to=Result.NAMED, many=True),
    "JSONHas": _function(Kind.JSON, Kind.KEY, to=_BOOL, many=True),
    "JSONLength": _function(Kind.JSON, Kind.KEY, to=_INT, optional=1, many=True),
    # Dates and times.
    "toStartOfSecond": _START,
    "toStartOfMinute": _START,
    "toStartOfFiveMinutes": _START,
    "toStartOfTenMinutes": _START,
    "toStartOfFifteenMinutes": _START,
    "toStartOfHour": _START,
    "toStartOfDay": _START,
    "toStartOfWeek": _START_DAY,
    "toMonday": _START_DAY,
    "toStartOfMonth": _START_DAY,
    "toStartOfQuarter": _START_DAY,
    "toStartOfYear": _START_DAY,
    "dateTrunc": _function(Kind.UNIT, _MOMENT, Kind.ZONE, to=_DATETIME, optional=1),
    "toYear": _PART,
    "toQuarter": _PART,
    "toMonth": _PART,
    "toISOYear": _PART,
    "toISOWeek": _PART,
    "toDayOfYear": _PART,
    "toDayOfMonth": _PART,
    "toDayOfWeek": _PART,
    "toHour": _PART,
    "toMinute": _PART,
    "toSecond": _PART,
    "toYYYYMM": _PART,
    "toYYYYMMDD": _PART,
    "toUnixTimestamp": _function(_MOMENT, to=_INT),
    "toUnixTimestamp64Milli": _function(_MOMENT, to=_INT),
    "fromUnixTimestamp": _function(Kind.INTEGER, to=_DATETIME),
    "fromUnixTimestamp64Milli": _function(Kind.INTEGER, to=_DATETIME),
    **{f"{verb}{units}": _ADD_TIME for verb in _SHIFTS for units in ("Seconds", "Minutes", "Hours")},
    **{f"{verb}{units}": _ADD_DAYS for verb in _SHIFTS for units in ("Days", "Weeks", "Months", "Quarters", "Years")},
    "dateDiff": _function(Kind.UNIT, _MOMENT, _MOMENT, Kind.ZONE, to=_INT, optional=1),
    "formatDateTime": _function(_MOMENT, Kind.FORMAT, Kind.ZONE, to=_STRING, optional=1),
}

ALIASES: Final[Mapping[str, str]] = {
    "ceiling": "ceil",
    "ln": "log",
    "power": "pow",
    "mod": "modulo",
    "substr": "substring",
    "replace": "replaceAll",
    "ltrim": "trimLeft",
    "rtrim": "trimRight",
    "char_length": "length",
    "lengthUTF8": "length",
    "lowerUTF8": "lower",
    "upperUTF8": "upper",
    "substringUTF8": "substring",
    "positionUTF8": "position",
    "reverseUTF8": "reverse",
    "lcase": "lower",
    "ucase": "upper",
    "date_trunc": "dateTrunc",
    "date_diff": "dateDiff",
    "parseDateTime": "toDateTime",
    "parseDateTimeBestEffort": "toDateTime",
    "toInt64": "toInt",
    "toFloat64": "toFloat",
}
"""Other names that are understood."""

UNITS: Final = ("second", "minute", "hour", "day", "week", "month", "quarter", "year")
JSON_TYPES: Final[Mapping[str, Type]] = {
    str(one): one for one in (Type.STRING, Type.INTEGER, Type.FLOAT, Type.BOOLEAN, Type.STRINGS)
}
"""That ``JSONExtract`` can be told to give."""

_BY_LOWER: Final[Mapping[str, str]] = {
    **{alias.lower(): name for alias, name in ALIASES.items()},
    **{name.lower(): name for name in FUNCTIONS},
}


def canonical(name: str) -> str | None:
    """The name in :data:`FUNCTIONS`, in whatever case it is written; None: there is no such function."""
    return _BY_LOWER.get(name.lower())
