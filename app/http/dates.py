"""Moments in query parameters: ISO 8601, or relative to now, such as ``-7d`` or ``mStart``."""

import re
from calendar import monthrange
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import WithJsonSchema

from app.errors import ValidationFailed

Moment = Annotated[str | None, WithJsonSchema({"type": "string"})]
"""A query parameter with a moment; blank means not given."""

RELATIVE = re.compile(r"-?(?P<count>\d{1,6})?(?P<unit>[sMhdwmqy])(?P<edge>Start|End)?", re.ASCII)
MOMENT = timedelta(microseconds=1)

SPANS: Mapping[str, timedelta] = {
    "s": timedelta(seconds=1),
    "M": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
MONTHS: Mapping[str, int] = {"m": 1, "q": 3, "y": 12}
STARTS: Mapping[str, Callable[[datetime], datetime]] = {
    "s": lambda at: at.replace(microsecond=0),
    "M": lambda at: at.replace(second=0, microsecond=0),
    "h": lambda at: at.replace(minute=0, second=0, microsecond=0),
    "d": lambda at: _midnight(at),
    "w": lambda at: _midnight(at) - timedelta(days=at.isoweekday() % 7),  # weeks begin on Sunday, as in offset_day
    "m": lambda at: _midnight(at).replace(day=1),
    "q": lambda at: _midnight(at).replace(month=(at.month - 1) // 3 * 3 + 1, day=1),
    "y": lambda at: _midnight(at).replace(month=1, day=1),
}
"""The first moment of the unit that holds a moment."""


def parse_moment(text: str, now: datetime, attr: str) -> datetime:
    """A moment in UTC; without a zone it is read as UTC.

    Relative ones are a number of seconds, minutes, hours, days, weeks, months, quarters or years back (``s M h d w m q
    y``), months and longer ones by the calendar; behind it ``Start`` or ``End`` of the unit that is reached. The number
    may be left out then: ``dStart`` is the last midnight.

    :raises ValidationFailed: for text that is neither.
    """
    relative = RELATIVE.fullmatch(text)
    if relative is not None and (relative["count"] or relative["edge"]):
        return _relative(now.astimezone(UTC), int(relative["count"] or 0), relative["unit"], relative["edge"])
    try:
        # A plus sign that was not escaped arrives as a space.
        moment = datetime.fromisoformat(re.sub(r" (?=\d\d:\d\d$)", "+", text))
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValidationFailed(
            f"'{text}' is neither an ISO 8601 datetime nor relative to now, such as -7d.", attr=attr
        ) from None


def _relative(now: datetime, count: int, unit: str, edge: str | None) -> datetime:
    try:
        moment = _back(now, count, unit)
        if edge == "Start":
            return STARTS[unit](moment)
        if edge == "End":
            return _back(STARTS[unit](moment), -1, unit) - MOMENT
        return moment
    except (OverflowError, ValueError):
        # Before the first year there is.
        return datetime.min.replace(tzinfo=UTC)


def _back(moment: datetime, count: int, unit: str) -> datetime:
    """So many units earlier; in a month that is too short, on its last day."""
    if unit in SPANS:
        return moment - count * SPANS[unit]
    year, month = divmod(moment.year * 12 + moment.month - 1 - count * MONTHS[unit], 12)
    if year < 1:
        raise OverflowError(year)
    return moment.replace(year=year, month=month + 1, day=min(moment.day, monthrange(year, month + 1)[1]))


def _midnight(moment: datetime) -> datetime:
    return moment.replace(hour=0, minute=0, second=0, microsecond=0)
