"""Filters of an export (the contract's section 9.6): JSON in, conditions on events out, which must all hold.

What an operator asks of a property, a property that is missing or null does not fulfil; the negative operators, which
ask for something not to be so, it does.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from app.errors import ValidationFailed
from app.query.calls import call
from app.query.columns import COLUMNS
from app.query.conversions import NUMBER
from app.query.dialect import MAX_LENGTH
from app.query.errors import NotParsed, NotUnderstood
from app.query.hogql import condition
from app.query.moments import is_date_only, read_moment
from app.query.names import number, text
from app.query.tree import Constant, Expression, Property, Type

FILTER_TYPES: Final = ("event", "hogql", "person")
WINDOW_KEYS: Final = ("data_interval_start", "data_interval_end")
MOST_FILTERS: Final = 200

_COLUMNS: Final = {"event": COLUMNS["properties"], "person": COLUMNS["person_properties"]}
_RELATIVE: Final = re.compile(r"-([0-9]{1,5})([hdwmqy])")
_MONTHS: Final = {"m": 1, "q": 3, "y": 12}
_SPANS: Final = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}


def conditions(filters: Any, until: datetime) -> tuple[Expression, ...]:
    """``until``, the end of the window, is from when relative dates count: a run that is tried again selects the same.

    :raises ValidationFailed: for what are no filters, in the contract's words.
    """
    if filters is None:
        return ()
    if not isinstance(filters, list):
        raise _wrong("'filters' should be an array of filters")
    if len(filters) > MOST_FILTERS:
        raise _wrong(f"There can be {MOST_FILTERS} filters at most")
    for item in filters:
        _check_shape(item)
    if sum(len(str(item.get("key"))) for item in filters if item["type"] == "hogql") > MAX_LENGTH:
        raise _wrong(f"The HogQL of all filters together can have {MAX_LENGTH} characters at most")
    return tuple(_condition(item, until) for item in filters)


def _check_shape(item: Any) -> None:
    if not isinstance(item, dict):
        raise _wrong("Each filter must be an object")
    if item.get("key") in WINDOW_KEYS:
        raise _wrong(
            "'data_interval_start' and 'data_interval_end' are run attributes and not 'filters'. Trigger a "
            "backfill if you wish to manually control which periods to batch export."
        )
    if item.get("type") not in FILTER_TYPES:
        raise _wrong("Each filter must have a 'type' of one of: 'event', 'hogql', 'person'")


def _condition(item: Mapping[str, Any], until: datetime) -> Expression:
    key, kind = item.get("key"), item["type"]
    if not isinstance(key, str) or not key.strip():
        raise _wrong("Each filter must have a 'key'")
    try:
        if kind == "hogql":
            return condition(key)
        operator = item.get("operator") or "exact"
        if not isinstance(operator, str) or operator not in OPERATORS:
            raise _wrong(f"Each filter must have an 'operator' of one of: {', '.join(map(repr, OPERATORS))}")
        tested = Property(_COLUMNS[kind], (str(text(key).value),))
        return OPERATORS[operator](tested, _Value(operator, item.get("value"), until))
    except NotParsed:
        raise _wrong(f"Failed to parse the HogQL of a filter: {key}") from None
    except NotUnderstood as error:
        raise _wrong(f"Invalid HogQL in a filter: {error}" if kind == "hogql" else str(error)) from None
    except RecursionError:
        raise _wrong("Invalid HogQL in a filter: It is nested too deeply") from None


def _wrong(detail: str) -> ValidationFailed:
    return ValidationFailed(detail, attr="filters")


class _Value:
    """The ``value`` of a filter, as its operator reads it. All methods raise ``NotUnderstood``."""

    def __init__(self, operator: str, value: Any, until: datetime) -> None:
        self._operator = operator
        self._value = value
        self._until = until

    def several(self) -> Sequence[Constant]:
        """A value, or a list of some: texts, numbers or truth values."""
        values = self._value if isinstance(self._value, list) else [self._value]
        if not values:
            raise self._refused("at least one value")
        return [self._scalar(one) for one in values]

    def texts(self) -> Sequence[str]:
        return [str(_as_text(one).value) for one in self.several()]

    def one(self) -> Any:
        """Lists of one are as good as what is in them."""
        alone = isinstance(self._value, list) and len(self._value) == 1
        return self._value[0] if alone else self._value

    def number(self, value: Any) -> Constant:
        if isinstance(value, str) and NUMBER.fullmatch(value):
            return number(value.removeprefix("+"))
        if isinstance(value, int | float) and not isinstance(value, bool):
            return number(repr(value))
        raise self._refused("a number")

    def numbers(self) -> tuple[Constant, Constant]:
        if not isinstance(self._value, list) or len(self._value) != 2:
            raise self._refused("a list of two numbers, the least and the greatest")
        return self.number(self._value[0]), self.number(self._value[1])

    def moment(self) -> tuple[Constant, Constant]:
        """The first moment that is meant, and the first one after it: a date is a whole day, in UTC."""
        value = self.one()
        found = read_moment(value) if isinstance(value, str) else None
        if isinstance(value, str) and found is None and (relative := _RELATIVE.fullmatch(value)):
            found = _before(self._until, int(relative[1]), relative[2])
        if found is None:
            raise self._refused("a date, as 2026-01-31, 2026-01-31T12:00:00+02:00 or -7d")
        whole = timedelta(days=1) if is_date_only(value) else timedelta(microseconds=1)
        try:
            return Constant(found, Type.DATETIME), Constant(found + whole, Type.DATETIME)
        except OverflowError:
            raise self._refused("a date before the year 9999") from None

    def _scalar(self, value: Any) -> Constant:
        if isinstance(value, bool):
            return Constant(value, Type.BOOLEAN)
        if isinstance(value, int | float):
            return number(repr(value))
        if isinstance(value, str):
            return text(value)
        raise self._refused("text, a number, or true or false, or a list of these, as its 'value'")

    def _refused(self, needs: str) -> NotUnderstood:
        return NotUnderstood(f"The operator '{self._operator}' needs {needs}")


def _before(moment: datetime, count: int, unit: str) -> datetime | None:
    """None: before there were dates."""
    try:
        if unit in _SPANS:
            return moment - count * _SPANS[unit]
        years, month = divmod(moment.year * 12 + moment.month - 1 - count * _MONTHS[unit], 12)
        for day in range(moment.day, moment.day - 4, -1):
            try:
                return moment.replace(year=years, month=month + 1, day=day)
            except ValueError:
                continue  # as the 31st of a month that has none
    except OverflowError:
        pass
    return None


def _as_text(value: Constant) -> Constant:
    """As a property of that value is read."""
    if value.type == Type.STRING:
        return value
    return Constant(str(value.value).lower() if value.type == Type.BOOLEAN else str(value.value), Type.STRING)


def _any_of(tested: Property, value: _Value) -> Expression:
    """Numbers are equal to however they were written, all else to the very same text."""
    values = value.several()
    floats = [one for one in values if one.type in (Type.INTEGER, Type.FLOAT)]
    texts = [_as_text(one) for one in values if one not in floats]
    found = [call("in", (tested, *texts))] if texts else []
    if floats:
        found.append(call("in", (call("toFloat", (tested,)), *floats)))
    return _either(found)


def _contains(tested: Property, value: _Value) -> Expression:
    escaped = (re.sub(r"([\\%_])", r"\\\1", one) for one in value.texts())
    return _either([call("ilike", (tested, Constant(f"%{one}%", Type.STRING))) for one in escaped])


def _matches(tested: Property, value: _Value) -> Expression:
    return _either([call("match", (tested, Constant(one, Type.STRING))) for one in value.texts()])


def _compares(function: str) -> "Operator":
    return lambda tested, value: call(function, (call("toFloat", (tested,)), value.number(value.one())))


def _between(tested: Property, value: _Value) -> Expression:
    return call("between", (call("toFloat", (tested,)), *value.numbers()))


def _starts(function: str) -> "Operator":
    return lambda tested, value: _either(
        [call(function, (tested, Constant(one, Type.STRING))) for one in value.texts()]
    )


def _is_date(tested: Property, value: _Value) -> Expression:
    first, after = value.moment()
    moment = call("toDateTime", (tested,))
    return call("and", (call("greaterOrEquals", (moment, first)), call("less", (moment, after))))


def _is_before(tested: Property, value: _Value) -> Expression:
    return call("less", (call("toDateTime", (tested,)), value.moment()[0]))


def _is_after(tested: Property, value: _Value) -> Expression:
    return call("greaterOrEquals", (call("toDateTime", (tested,)), value.moment()[1]))


def _not(positive: "Operator") -> "Operator":
    return lambda tested, value: call("not", (positive(tested, value),))


def _either(alternatives: Sequence[Expression]) -> Expression:
    return alternatives[0] if len(alternatives) == 1 else call("or", alternatives)


Operator = Callable[[Property, _Value], Expression]

OPERATORS: Final[Mapping[str, Operator]] = {
    "exact": _any_of,
    "is_not": _not(_any_of),
    "in": _any_of,
    "not_in": _not(_any_of),
    "icontains": _contains,
    "not_icontains": _not(_contains),
    "icontains_multi": _contains,
    "not_icontains_multi": _not(_contains),
    "starts_with": _starts("startsWith"),
    "not_starts_with": _not(_starts("startsWith")),
    "ends_with": _starts("endsWith"),
    "not_ends_with": _not(_starts("endsWith")),
    "regex": _matches,
    "not_regex": _not(_matches),
    "gt": _compares("greater"),
    "gte": _compares("greaterOrEquals"),
    "lt": _compares("less"),
    "lte": _compares("lessOrEquals"),
    "min": _compares("greaterOrEquals"),
    "max": _compares("lessOrEquals"),
    "between": _between,
    "not_between": _not(_between),
    "is_set": lambda tested, _: call("isNotNull", (tested,)),
    "is_not_set": lambda tested, _: call("isNull", (tested,)),
    "is_date_exact": _is_date,
    "is_date_before": _is_before,
    "is_date_after": _is_after,
}
"""As PostHog has them. Comparisons of one property with a list mean any of the list, or none of it."""
