"""The bounds of a backfill, as each interval wants them (the contract's section 6.2, point 5)."""

from datetime import UTC, date, datetime
from typing import Any

from app.errors import ValidationFailed
from app.models import Interval
from app.scheduling.intervals import Schedule

WEEKDAYS = ("Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday")


def parse_bound(value: Any, schedule: Schedule) -> datetime | None:
    """A bound in UTC: a date at the export's hour for days and weeks, a datetime with a zone for the rest.

    :raises ValidationFailed: with the text that fits.
    """
    if value is None:
        return None
    if schedule.interval in (Interval.DAY, Interval.WEEK):
        return _parse_day(value, schedule)
    try:
        moment = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValidationFailed(f"Input {value} is not a valid ISO formatted datetime.") from None
    if moment.tzinfo is None:
        raise ValidationFailed(f"Input {value} is naive.")
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValidationFailed(f"Input {value} is not a valid ISO formatted datetime.") from None


def _parse_day(value: Any, schedule: Schedule) -> datetime:
    try:
        day = date.fromisoformat(value)
    except (TypeError, ValueError):
        raise ValidationFailed(f"Input '{value}' is not a valid ISO formatted date.{_hint(value)}") from None
    try:
        weekday, wanted = day.isoweekday() % 7, schedule.offset.days
        if schedule.interval is Interval.WEEK and weekday != wanted:
            raise ValidationFailed(
                f"Input {value} is not on the correct day of the week for this batch export. {value} is a "
                f"{WEEKDAYS[weekday]} but this batch export is configured to run weekly on {WEEKDAYS[wanted]}."
            )
        return schedule.on_day(day)
    except OverflowError:
        raise ValidationFailed(f"Input '{value}' is not a valid ISO formatted date.") from None


def _hint(value: Any) -> str:
    try:
        datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return ""
    return " Daily or weekly batch export backfills expect only the date component, but a time was included."


def check_order(start: datetime | None, end: datetime | None, now: datetime) -> None:
    """:raises ValidationFailed: for bounds that are no range, or an end that is still to come."""
    if start is None or end is None:
        return
    if start >= end:
        raise ValidationFailed("The initial backfill datetime 'start_at' must be before 'end_at'")
    if end > now:
        raise ValidationFailed(f"The provided 'end_at' ({end.isoformat()}) is in the future")
