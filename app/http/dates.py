"""Moments in query parameters: ISO 8601, or relative to now, such as ``-7d``."""

import re
from datetime import UTC, datetime, timedelta

from app.errors import ValidationFailed

RELATIVE = re.compile(r"-(?P<count>\d{1,6})(?P<unit>[hdwmqy])")
UNITS = {
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
    "m": timedelta(days=30),
    "q": timedelta(days=91),
    "y": timedelta(days=365),
}


def parse_moment(text: str, now: datetime, attr: str) -> datetime:
    """A moment in UTC; without a zone it is read as UTC.

    :raises ValidationFailed: for text that is neither.
    """
    if (relative := RELATIVE.fullmatch(text)) is not None:
        try:
            return now - int(relative["count"]) * UNITS[relative["unit"]]
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)
    try:
        # A plus sign that was not escaped arrives as a space.
        moment = datetime.fromisoformat(re.sub(r" (?=\d\d:\d\d$)", "+", text))
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValidationFailed(
            f"'{text}' is neither an ISO 8601 datetime nor relative to now, such as -7d.", attr=attr
        ) from None
