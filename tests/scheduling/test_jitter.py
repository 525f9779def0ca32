"""Delays within the contract's bounds, the same for the same window: the contract's section 5.3."""

from datetime import datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.models import Interval
from app.scheduling.jitter import jitter
from tests.factories import utc

EXPORT = UUID(int=1)
ends = st.datetimes(datetime(2005, 1, 1), datetime(2035, 1, 1), timezones=st.just(ZoneInfo("UTC")))  # noqa: DTZ001


@given(st.uuids(), ends, st.sampled_from(Interval), st.floats(0, 1))
def test_a_delay_stays_within_its_share(export_id: UUID, end: datetime, interval: Interval, share: float) -> None:
    assert timedelta(0) <= jitter(export_id, end, interval, share) <= timedelta(minutes=30) * share
    assert jitter(export_id, end, interval, 0) == timedelta(0)


@pytest.mark.parametrize(
    ("interval", "minutes"),
    [("every 5 minutes", 1), ("every 15 minutes", 3), ("hour", 15), ("day", 20), ("week", 30)],
)
def test_delays_spread_over_all_that_the_interval_allows(interval: str, minutes: int) -> None:
    most = timedelta(minutes=minutes)
    delays = sorted(jitter(UUID(int=n), utc(2026, 1, 1), Interval(interval), 1) for n in range(1000))
    assert delays[-1] < most
    assert delays[0] < most * 0.05
    assert most * 0.45 < delays[500] < most * 0.55
    assert delays[-1] > most * 0.95


def test_a_window_has_one_delay_in_whatever_zone_its_end_is_told() -> None:
    end = utc(2026, 1, 1, 12)
    assert jitter(EXPORT, end, Interval.HOUR, 1) == jitter(EXPORT, end, Interval.HOUR, 1)
    assert jitter(EXPORT, end.astimezone(ZoneInfo("Asia/Tokyo")), Interval.HOUR, 1) == jitter(
        EXPORT, end, Interval.HOUR, 1
    )
    assert jitter(EXPORT, end, Interval.HOUR, 1) != jitter(EXPORT, utc(2026, 1, 1, 13), Interval.HOUR, 1)
