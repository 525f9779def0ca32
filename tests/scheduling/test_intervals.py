"""Windows tile time: the contract's sections 5.3 and 5.4."""

from datetime import UTC, date, datetime, timedelta
from itertools import islice, pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models import Interval
from app.scheduling.intervals import Schedule, Window

ODD_ZONES = [
    "US/Pacific",
    "Europe/Berlin",
    "America/New_York",
    "Australia/Lord_Howe",  # changes its clocks by half an hour
    "Pacific/Apia",  # skipped 2011-12-30
    "Pacific/Kwajalein",  # skipped 1993-08-21
    "America/Juneau",  # had a day twice, in 1867
    "Africa/Monrovia",  # 44 minutes and 30 seconds behind until 1972
    "Asia/Kathmandu",  # 5:45 ahead
    "America/Sao_Paulo",  # changed its clocks at midnight
    "Africa/Casablanca",  # changes them around Ramadan
]
zones = st.one_of(st.sampled_from(ODD_ZONES), st.sampled_from(sorted(available_timezones() - {"localtime"})))
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)

moments = st.one_of(
    st.datetimes(datetime(2005, 1, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001  naive bounds
    st.datetimes(datetime(1840, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    # Around the odd moments of the odd zones.
    st.builds(
        lambda moment, hours: moment + timedelta(hours=hours),
        st.sampled_from(
            [
                datetime(1867, 10, 18, tzinfo=UTC),
                datetime(1972, 1, 7, tzinfo=UTC),
                datetime(1993, 8, 21, tzinfo=UTC),
                datetime(2011, 12, 30, tzinfo=UTC),
                datetime(2026, 3, 29, tzinfo=UTC),
                datetime(2026, 10, 25, tzinfo=UTC),
            ]
        ),
        st.integers(-72, 72),
    ),
)
schedules = st.builds(
    lambda interval, zone, day, hour: Schedule(
        interval,
        zone,
        timedelta(hours=hour, days=day if interval is Interval.WEEK else 0)
        if interval in (Interval.DAY, Interval.WEEK)
        else timedelta(0),
    ),
    st.sampled_from(Interval),
    zones,
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


@given(schedules, moments)
def test_steps_from_a_boundary_are_the_schedules_own_windows(schedule: Schedule, moment: datetime) -> None:
    start, end = schedule.align(moment), moment + timedelta(days=60)
    assert list(islice(schedule.steps(start, end), 20)) == list(islice(schedule.windows(start, end), 20))


@given(schedules, moments)
def test_steps_from_anywhere_go_forward_without_gap(schedule: Schedule, moment: datetime) -> None:
    steps = list(islice(schedule.steps(moment, moment + timedelta(days=60)), 8))
    assert steps[0].start == moment
    for before, after in pairwise(steps):
        assert before.end == after.start
    assert all(step.start is not None and step.start < step.end for step in steps)


@given(schedules, moments, st.integers(0, 40), st.integers(1, 10))
def test_the_newest_windows_are_the_last_ones_there_are(
    schedule: Schedule, moment: datetime, passed: int, limit: int
) -> None:
    start = schedule.align(moment)
    windows = list(islice(schedule.windows(start, moment + timedelta(days=400)), passed))
    end = windows[-1].end if windows else start
    first, older = schedule.newest(start, end, limit)
    assert older == max(0, len(windows) - limit)
    assert first == (windows[older].start if windows else start)
    assert schedule.due(first, end, 1000) == windows[older:]


def test_a_year_of_any_zone_is_tiled_by_its_days() -> None:
    for zone in available_timezones() - {"localtime"}:
        schedule = Schedule(Interval.DAY, zone, 2 * HOUR)
        start, end = schedule.align(utc(2026, 1, 1)), schedule.align(utc(2027, 1, 1))
        windows = list(schedule.windows(start, end))
        assert (len(windows), windows[0].start, windows[-1].end) == (365, start, end), zone
        assert all(before.end == after.start for before, after in pairwise(windows)), zone
        lengths = {window.end - window.start for window in windows if window.start is not None}
        # In Antarctica/Troll clocks change by two hours, everywhere else by one at most.
        assert 22 * HOUR <= min(lengths) <= DAY <= max(lengths) <= 26 * HOUR, zone


def test_a_boundary_in_a_skipped_hour_moves_no_later_boundary() -> None:
    schedule = Schedule(Interval.DAY, "Europe/Berlin", 2 * HOUR)
    steps = list(schedule.steps(schedule.on_day(date(2026, 3, 28)), utc(2026, 4, 1)))
    assert [step.end for step in steps] == [utc(2026, 3, 29, 1), utc(2026, 3, 30), utc(2026, 3, 31), utc(2026, 4, 1)]


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
