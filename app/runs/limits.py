"""How long runs may take, by the interval of their export (the contract's section 7)."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from app.models import Interval

TIME_LIMITS: Final[Mapping[str, timedelta]] = {
    Interval.EVERY_5_MINUTES: timedelta(minutes=20),
    Interval.EVERY_15_MINUTES: timedelta(minutes=20),
    Interval.HOUR: timedelta(hours=6),
    Interval.DAY: timedelta(days=1),
    Interval.WEEK: timedelta(days=3),
}
"""Of one attempt, and of how long failed attempts are repeated, counted from the first one that failed. Time in which
no worker was there to make an attempt never ends a run."""
