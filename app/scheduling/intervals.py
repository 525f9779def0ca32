"""Intervals and the windows they cut time into. Pure: no clock, no I/O.

Boundaries come from arithmetic on an anchor and an IANA zone, never from the run before: windows tile time with no gap
and no overlap, whatever was missed. ``hour`` and ``every N minutes`` are aligned to the epoch; ``day`` and ``week`` to
local midnight plus an offset in the export's time zone, so a day may last 23 or 25 hours (the contract's section 5.3).
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice
from zoneinfo import ZoneInfo

from app.models.enums import Interval

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIXED = {
    Interval.EVERY_5_MINUTES: timedelta(minutes=5),
    Interval.EVERY_15_MINUTES: timedelta(minutes=15),
    Interval.HOUR: timedelta(hours=1),
}
DAY = timedelta(days=1)
SUNDAY = date(1970, 1, 4)


@dataclass(frozen=True, slots=True)
class Window:
    """Half-open, ``[start, end)``, UTC. ``start`` None: from the beginning of time."""

    start: datetime | None
    end: datetime


@dataclass(frozen=True, slots=True)
class Schedule:
    """An interval in a time zone. ``offset`` counts from local midnight for ``day``, from Sunday 0:00 for ``week``."""

    interval: Interval
    timezone: str = "UTC"
    offset: timedelta = timedelta(0)

    def align(self, moment: datetime) -> datetime:
        """The latest boundary at or before ``moment``, in UTC."""
        if self.interval in FIXED:
            return moment.astimezone(UTC) - (moment - EPOCH) % FIXED[self.interval]
        day = moment.astimezone(ZoneInfo(self.timezone)).date() - self._whole_days + DAY
        if self.interval is Interval.WEEK:
            day -= timedelta(days=(day - SUNDAY).days % 7)
        while (boundary := self._boundary(day)) > moment:
            day -= self._step
        return boundary

    def following(self, boundary: datetime) -> datetime:
        """The boundary after ``boundary``, which must be one itself."""
        if self.interval in FIXED:
            return boundary + FIXED[self.interval]
        day = boundary.astimezone(ZoneInfo(self.timezone)).date() - self._whole_days - DAY
        if self.interval is Interval.WEEK:
            day -= timedelta(days=(day - SUNDAY).days % 7)
        while (after := self._boundary(day)) <= boundary:
            day += self._step
        return after

    def windows(self, start: datetime, end: datetime) -> Iterator[Window]:
        """Whole windows from the boundary ``start`` on that have closed by ``end``; a partial last one is left out."""
        while (after := self.following(start)) <= end:
            yield Window(start, after)
            start = after

    def due(self, next_start: datetime, now: datetime, limit: int) -> list[Window]:
        """At most ``limit`` windows that have closed by ``now``, oldest first, from the boundary ``next_start`` on."""
        return list(islice(self.windows(next_start, now), limit))

    def newest(self, start: datetime, end: datetime, limit: int) -> tuple[datetime, int]:
        """Where the ``limit`` newest of the windows between the boundaries ``start`` and ``end`` begin, and how many
        older ones there are."""
        if (length := FIXED.get(self.interval)) is not None:
            # By arithmetic, for there may be a year of five minutes.
            older = max(0, (end - start) // length - limit)
            return start + older * length, older
        kept: deque[Window] = deque(maxlen=limit)
        number = 0
        for number, window in enumerate(self.windows(start, end), 1):  # noqa: B007  their number
            kept.append(window)
        return (kept[0].start or start, number - len(kept)) if kept else (start, 0)

    def steps(self, start: datetime, end: datetime) -> Iterator[Window]:
        """Windows of one interval's length from any ``start`` on, on the grid or off it, that fit before ``end``.

        Steps of days and weeks are taken in local time. A partial last one is left out (the contract's section 6.3).
        """
        while (after := self.step(start)) <= end:
            yield Window(start, after)
            start = after

    def step(self, start: datetime) -> datetime:
        """One interval after ``start``, on the grid or off it."""
        if self.interval in FIXED:
            return start + FIXED[self.interval]
        if self.align(start) == start:
            # Where a boundary's hour is one that the clocks skip that day, the next boundary is back at its own hour.
            return self.following(start)
        zone = ZoneInfo(self.timezone)
        local = start.astimezone(zone)
        wall = datetime.combine(local.date() + self._step, local.time(), tzinfo=zone)
        return wall.astimezone(UTC)

    def on_day(self, day: date) -> datetime:
        """The boundary on a calendar day of the schedule's zone, for days and weeks."""
        return self._boundary(day - self._whole_days)

    @property
    def _step(self) -> timedelta:
        return 7 * DAY if self.interval is Interval.WEEK else DAY

    @property
    def _whole_days(self) -> timedelta:
        return timedelta(days=self.offset.days)

    def _boundary(self, day: date) -> datetime:
        """The boundary of the period that begins on the calendar day ``day`` (weeks: a Sunday) in the schedule's zone.

        An hour that the clocks skip is read with the offset before the change, so that the boundary exists.
        """
        wall = datetime.combine(day + self._whole_days, time(0), tzinfo=ZoneInfo(self.timezone))
        hours = timedelta(seconds=self.offset.seconds)
        return (wall + hours).astimezone(UTC)
