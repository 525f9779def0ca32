"""Dates and times as text: the same ones are understood here, of constants, and by a source, of data."""

import re
from datetime import UTC, date, datetime, timedelta, timezone
from functools import cache
from typing import Final
from zoneinfo import ZoneInfo, available_timezones

MOMENT: Final = re.compile(
    r"(?P<year>[0-9]{4})-(?P<month>[0-9]{1,2})-(?P<day>[0-9]{1,2})"
    r"(?:[T ](?P<hour>[01]?[0-9]|2[0-3]):(?P<minute>[0-5][0-9])"
    r"(?::(?P<second>[0-5][0-9])(?:\.(?P<fraction>[0-9]{1,9}))?)?"
    r"(?P<zone> ?(?:Z|UTC|[+-](?:0[0-9]|1[0-5])(?::?[0-5][0-9])?))?)?"
)
"""ISO 8601, with a space for the T if need be; years 1 to 9999."""
NOT_ZONES: Final = frozenset({"localtime", "posixrules", "Factory"})
"""Names that mean another zone, or none, from machine to machine."""


@cache
def zones() -> frozenset[str]:
    """Names of time zones that are understood."""
    return frozenset(available_timezones() - NOT_ZONES)


def read_moment(text: str, zone: str = "UTC") -> datetime | None:
    """In UTC; None for what is no moment. Text that names no zone of its own is in ``zone``."""
    found = MOMENT.fullmatch(text)
    if found is None:
        return None
    fraction = (found["fraction"] or "0").ljust(9, "0")
    try:
        local = datetime(
            int(found["year"]),
            int(found["month"]),
            int(found["day"]),
            int(found["hour"] or 0),
            int(found["minute"] or 0),
            int(found["second"] or 0),
            tzinfo=_zone(found["zone"], zone),
        ) + timedelta(microseconds=round(int(fraction) / 1000))
        return local.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def is_date_only(text: str) -> bool:
    found = MOMENT.fullmatch(text)
    return found is not None and found["hour"] is None


def read_date(text: str) -> date | None:
    """The day in UTC."""
    moment = read_moment(text)
    return moment.date() if moment is not None else None


def _zone(offset: str | None, zone: str) -> timezone | ZoneInfo:
    digits = re.sub("[^0-9]", "", offset or "")
    if offset is None:
        return ZoneInfo(zone)
    if not digits:
        return UTC
    minutes = int(digits[:2]) * 60 + int(digits[2:] or 0)
    return timezone(timedelta(minutes=-minutes if "-" in offset else minutes))
