"""When an event happened, by the clock of this service. Pure.

A client's clock may be wrong by years. It says when it sent the request by the same clock: as far as that is from the
moment at which the request arrived, so far are its timestamps corrected.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from app.events.rows import parse_moment, storable
from app.intake.problems import Code

FUTURE: Final = timedelta(hours=23)
"""So far ahead a timestamp may be: one in local time without its offset is. Any further one is taken for a mistake."""
MAX_MILLISECONDS: Final = 253_402_300_800_000
"""The end of the year 9999."""


def sent_at(text: str | None) -> datetime | None:
    """When a client says that it sent a request: ISO 8601, or milliseconds since 1970 (`_` in the query).

    None for anything else: then its clock is taken to be right.
    """
    if not text:
        return None
    try:
        if text.isascii() and text.isdigit():
            milliseconds = int(text[:20])
            return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds < MAX_MILLISECONDS else None
        return parse_moment(text)
    except (ValueError, OverflowError, OSError):
        return None


def happened(
    timestamp: str | None, offset: float | None, sent: datetime | None, now: datetime
) -> tuple[datetime, Code | None]:
    """When the event happened, and what was wrong with what its client says about it.

    ``offset`` is milliseconds before the request arrived, and counts where there is no timestamp. ``sent`` is None
    where timestamps are to be left as they are.
    """
    if timestamp is None:
        return _before(now, offset)
    try:
        moment = parse_moment(timestamp)
        if sent is not None:
            moment = storable(moment + (now - sent))
    except (ValueError, OverflowError):
        return now, Code.INVALID_TIMESTAMP
    return (now, Code.FUTURE_TIMESTAMP) if moment > now + FUTURE else (moment, None)


def _before(now: datetime, offset: float | None) -> tuple[datetime, Code | None]:
    if offset is None:
        return now, None
    try:
        moment = now - timedelta(milliseconds=offset)
    except (ValueError, OverflowError):
        return now, Code.INVALID_TIMESTAMP
    return (now, Code.FUTURE_TIMESTAMP) if moment > now + FUTURE else (moment, None)
