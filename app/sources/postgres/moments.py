"""HogQL's functions of dates and times in SQL; see :mod:`app.sources.postgres.functions`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from app.query.tree import Type

UTC: Final = "'UTC'"

SECONDS: Final = {"Second": 1, "Minute": 60, "Hour": 3600, "Day": 86_400, "Week": 604_800}
MONTHS: Final = {"Month": 1, "Quarter": 3, "Year": 12}
STARTS: Final[Mapping[str, str]] = {
    "toStartOfSecond": "second",
    "toStartOfMinute": "minute",
    "toStartOfFiveMinutes": "5",
    "toStartOfTenMinutes": "10",
    "toStartOfFifteenMinutes": "15",
    "toStartOfHour": "hour",
    "toStartOfDay": "day",
    "toStartOfWeek": "sunday",
    "toMonday": "week",
    "toStartOfMonth": "month",
    "toStartOfQuarter": "quarter",
    "toStartOfYear": "year",
}
PARTS: Final[Mapping[str, str]] = {
    "toYear": "year",
    "toQuarter": "quarter",
    "toMonth": "month",
    "toISOYear": "isoyear",
    "toISOWeek": "week",
    "toDayOfYear": "doy",
    "toDayOfMonth": "day",
    "toDayOfWeek": "isodow",
    "toHour": "hour",
    "toMinute": "minute",
    "toSecond": "second",
    "toYYYYMM": "YYYYMM",
    "toYYYYMMDD": "YYYYMMDD",
}


def _day(moment: str, zone: str) -> str:
    return f"event_store.to_day({moment}, {zone})"


def _moment(kind: Type, value: str, zone: str = UTC) -> str:
    match kind:
        case Type.STRING | Type.DATE:
            return f"event_store.to_moment({value}, {zone})"
        case Type.INTEGER | Type.FLOAT:
            return f"event_store.to_moment({value}::float8)"
    return f"{value}::timestamptz"


def _to_moment(kinds: Sequence[Type], value: str, zone: str = UTC) -> str:
    return _moment(kinds[0], value, zone)


def _to_day(kinds: Sequence[Type], value: str, zone: str = UTC) -> str:
    return value if kinds[0] == Type.DATE else _day(_moment(kinds[0], value, zone), zone)


def _start(name: str) -> Callable[..., str]:
    """The start of weeks and longer units is a date."""
    unit = STARTS[name]
    is_day = unit in ("sunday", "week", "month", "quarter", "year")

    def write(_: Sequence[Type], value: str, zone: str = UTC) -> str:
        start = f"event_store.start_of({value}, '{unit}', {zone})"
        return _day(start, zone) if is_day else start

    return write


def _part(unit: str) -> Callable[..., str]:
    return lambda _, value, zone=UTC: f"event_store.part_of({value}, '{unit}', {zone})"


def _shift(unit: str, sign: str) -> Callable[..., str]:
    months = MONTHS.get(unit)
    function, factor = ("add_months", months) if months is not None else ("add_seconds", SECONDS[unit])

    def write(kinds: Sequence[Type], value: str, amount: str) -> str:
        moment = _moment(kinds[0], value)
        shifted = f"event_store.{function}({moment}, {amount}::numeric * {sign}{factor})"
        return _day(shifted, UTC) if kinds[0] == Type.DATE else shifted

    return write


def _trunc(_: Sequence[Type], unit: str, value: str, zone: str = UTC) -> str:
    return f"event_store.start_of({value}, {unit}, {zone})"


def _difference(_: Sequence[Type], unit: str, one: str, other: str, zone: str = UTC) -> str:
    return f"event_store.difference({unit}, {one}, {other}, {zone})"


def _format(_: Sequence[Type], value: str, format_: str, zone: str = UTC) -> str:
    return f"to_char(event_store.bounded({value}) AT TIME ZONE {zone}, {format_})"


MOMENTS: Final[Mapping[str, Callable[..., str]]] = {
    "toDateTime": _to_moment,
    "toDate": _to_day,
    "dateTrunc": _trunc,
    "dateDiff": _difference,
    "formatDateTime": _format,
    **{name: _start(name) for name in STARTS},
    **{name: _part(unit) for name, unit in PARTS.items()},
    **{f"add{unit}s": _shift(unit, "") for unit in (*SECONDS, *MONTHS)},
    **{f"subtract{unit}s": _shift(unit, "-") for unit in (*SECONDS, *MONTHS)},
}
