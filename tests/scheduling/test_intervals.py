"""Windows tile time: the contract's sections 5.3 and 5.4."""

from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models import Interval
from app.scheduling.intervals import Schedule, Window

ZONES = [
    "UTC",
    "US/Pacific",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # changes its clocks by half an hour
    "Pacific/Apia",  # skipped 2011-12-30
    "Asia/Kathmandu",  # 5:45 ahead
    "America/Sao_Paulo",  # changed its clocks at midnight
]
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

moments = st.datetimes(datetime(2005, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  naive bounds
schedules = st.builds(
    lambda interval, zone, day, hour: Schedule(
        interval,
        zone,
        timedelta(hours=hour, days=day if interval is Interval.WEEK else 0)
        if interval in (Interval.DAY, Interval.WEEK)
        else timedelta(0),
    ),
    st.sampled_from(Interval),
    st.sampled_from(ZONES),
    st.integers(0, 6),
    st.integers(0, 23),
)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


@given(schedules, moments)
def test_every_moment_lies_in_one_window(schedule: Schedule, moment: datetime) -> None:
    start = schedule.align(moment)
    assert start <= moment < schedule.following(start)


@given(schedules, moments)
def test_a_boundary_aligns_to_itself(schedule: Schedule, moment: datetime) -> None:
    boundary = schedule.align(moment)
    assert schedule.align(boundary) == boundary
    assert schedule.align(schedule.following(boundary)) == schedule.following(boundary)


@given(schedules, moments)
def test_windows_follow_without_gap_or_overlap(schedule: Schedule, moment: datetime) -> None:
    start = schedule.align(moment)
    windows = list(islice(schedule.windows(start, moment + timedelta(days=60)), 8))
    assert windows[0].start == start
    for before, after in pairwise(windows):
        assert before.end == after.start
    for window in windows:
        assert window.start is not None
        assert window.start < window.end


@given(schedules, moments)
def test_no_boundary_is_passed_over(schedule: Schedule, moment: datetime) -> None:
    boundary = schedule.align(moment)
    assert schedule.align(schedule.following(boundary) - timedelta(microseconds=1)) == boundary


def test_day_is_aligned_in_local_time() -> None:
    schedule = Schedule(Interval.DAY, "US/Pacific", HOUR)
    assert schedule.align(utc(2026, 1, 15, 8, 30)) == utc(2026, 1, 14, 9)


def test_week_begins_on_its_day_at_its_hour() -> None:
    schedule = Schedule(Interval.WEEK, "Europe/Berlin", DAY + 2 * HOUR)  # Mondays, 2:00
    boundary = schedule.align(utc(2026, 11, 24, 12))
    local = boundary.astimezone(ZoneInfo("Europe/Berlin"))
    assert (local.date().isoformat(), local.hour, local.strftime("%A")) == ("2026-11-23", 2, "Monday")
    assert schedule.following(boundary) - boundary == 7 * DAY


@pytest.mark.parametrize(
    ("interval", "start", "following"),
    [
        (Interval.EVERY_5_MINUTES, utc(2026, 1, 1, 0, 5), utc(2026, 1, 1, 0, 10)),
        (Interval.EVERY_15_MINUTES, utc(2026, 1, 1, 0, 0), utc(2026, 1, 1, 0, 15)),
        (Interval.HOUR, utc(2026, 1, 1, 7), utc(2026, 1, 1, 8)),
        (Interval.DAY, utc(2026, 1, 1), utc(2026, 1, 2)),
        (Interval.WEEK, utc(2026, 1, 4), utc(2026, 1, 11)),
    ],
)
def test_utc_intervals(interval: Interval, start: datetime, following: datetime) -> None:
    schedule = Schedule(interval)
    assert schedule.align(start) == start
    assert schedule.align(start + timedelta(minutes=4, seconds=59)) == start
    assert schedule.following(start) == following


@pytest.mark.parametrize(("day", "hours"), [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)])
def test_days_last_as_long_as_the_clocks_say(day: str, hours: int) -> None:
    schedule = Schedule(Interval.DAY, "Europe/Berlin")
    noon = datetime.fromisoformat(day + "T12:00:00").replace(tzinfo=ZoneInfo("Europe/Berlin"))
    start = schedule.align(noon.astimezone(UTC))
    assert schedule.following(start) - start == timedelta(hours=hours)
    assert schedule.step(start) - start == timedelta(hours=hours)


def test_a_skipped_day_makes_no_window() -> None:
    windows = Schedule(Interval.DAY, "Pacific/Apia").windows(utc(2011, 12, 29, 10), utc(2012, 1, 1, 10))
    assert [window.end - window.start for window in windows if window.start] == [DAY, DAY, DAY]


def test_due_windows_come_oldest_first_and_limited() -> None:
    due = Schedule(Interval.HOUR).due(utc(2026, 1, 1), utc(2026, 1, 8), 3)
    assert due == [Window(utc(2026, 1, 1, hour), utc(2026, 1, 1, hour + 1)) for hour in range(3)]


def test_nothing_is_due_before_the_window_closes() -> None:
    schedule = Schedule(Interval.HOUR)
    assert schedule.due(utc(2026, 1, 1, 5), utc(2026, 1, 1, 5, 59, 59), 10) == []
    assert len(schedule.due(utc(2026, 1, 1, 5), utc(2026, 1, 1, 6), 10)) == 1


def test_steps_keep_an_odd_start_and_leave_out_the_rest() -> None:
    steps = list(Schedule(Interval.HOUR).steps(utc(2026, 1, 1, 0, 20), utc(2026, 1, 1, 3)))
    assert [step.start for step in steps] == [utc(2026, 1, 1, 0, 20), utc(2026, 1, 1, 1, 20)]
