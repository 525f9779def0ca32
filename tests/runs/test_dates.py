"""Moments in query parameters (the contract's section 2.1)."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.errors import ValidationFailed
from app.http.dates import parse_moment
from tests.factories import utc

NOW = utc(2026, 5, 31, 13, 45, 30, 123456)  # a Sunday
LAST = 999_999


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("-7d", utc(2026, 5, 24, 13, 45, 30, 123456)),
        ("-1d", utc(2026, 5, 30, 13, 45, 30, 123456)),
        ("7d", utc(2026, 5, 24, 13, 45, 30, 123456)),
        ("-2h", utc(2026, 5, 31, 11, 45, 30, 123456)),
        ("-30M", utc(2026, 5, 31, 13, 15, 30, 123456)),
        ("-45s", utc(2026, 5, 31, 13, 44, 45, 123456)),
        ("-1w", utc(2026, 5, 24, 13, 45, 30, 123456)),
        # By the calendar; what a month lacks becomes its last day.
        ("-1m", utc(2026, 4, 30, 13, 45, 30, 123456)),
        ("-3m", utc(2026, 2, 28, 13, 45, 30, 123456)),
        ("-1q", utc(2026, 2, 28, 13, 45, 30, 123456)),
        ("-2y", utc(2024, 5, 31, 13, 45, 30, 123456)),
        ("hStart", utc(2026, 5, 31, 13)),
        ("dStart", utc(2026, 5, 31)),
        ("-0dStart", utc(2026, 5, 31)),
        ("-1dStart", utc(2026, 5, 30)),
        ("-1dEnd", utc(2026, 5, 30, 23, 59, 59, LAST)),
        ("wStart", utc(2026, 5, 31)),
        ("-1wStart", utc(2026, 5, 24)),
        ("mStart", utc(2026, 5, 1)),
        ("-1mStart", utc(2026, 4, 1)),
        ("-1mEnd", utc(2026, 4, 30, 23, 59, 59, LAST)),
        ("qStart", utc(2026, 4, 1)),
        ("-1qEnd", utc(2026, 3, 31, 23, 59, 59, LAST)),
        ("yStart", utc(2026, 1, 1)),
        ("-1yEnd", utc(2025, 12, 31, 23, 59, 59, LAST)),
        ("2026-01-02T03:04:05.678901Z", utc(2026, 1, 2, 3, 4, 5, 678901)),
        ("2026-01-02 03:04:05", utc(2026, 1, 2, 3, 4, 5)),
        ("2026-01-02T03:04:05+02:00", utc(2026, 1, 2, 1, 4, 5)),
        ("2026-01-02T03:04:05 02:00", utc(2026, 1, 2, 1, 4, 5)),
        ("2026-01-02", utc(2026, 1, 2)),
        ("-999999y", datetime.min.replace(tzinfo=UTC)),
        ("-999999w", datetime.min.replace(tzinfo=UTC)),
        ("-2026yStart", datetime.min.replace(tzinfo=UTC)),
    ],
)
def test_a_moment_is_absolute_or_relative_to_now(text: str, moment: datetime) -> None:
    assert parse_moment(text, NOW, "after") == moment


@pytest.mark.parametrize(
    "text",
    ["lately", "d", "-d", "-7x", "--7d", "-7d ", "-7dStart2", "-7D", "-1234567d", "-\u0667d", "2026-13-01", "\x00"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValidationFailed) as refusal:
        parse_moment(text, NOW, "after")
    detail = f"'{text}' is neither an ISO 8601 datetime nor relative to now, such as -7d."
    assert (refusal.value.detail, refusal.value.attr) == (detail, "after")


moments = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001


@given(moments, st.integers(0, 500), st.sampled_from("sMhdwmqy"))
def test_a_unit_that_is_reached_begins_before_it_ends_and_holds_the_moment(
    now: datetime, count: int, unit: str
) -> None:
    start, moment, end = (parse_moment(f"-{count}{unit}{edge}", now, "after") for edge in ("Start", "", "End"))
    assert start <= moment <= end
    assert moment <= now


@given(st.text(max_size=12))
def test_no_text_is_an_error_of_ours(text: str) -> None:
    with suppress(ValidationFailed):
        assert parse_moment(text, NOW, "after").tzinfo is not None
