"""Object keys: those of the contract, whatever the template, and never one for two windows."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.destinations.keys import manifest_key, names, object_key, render_prefix, stem
from app.models.enums import Interval
from app.scheduling.intervals import Schedule

START = datetime(2023, 7, 19, tzinfo=UTC)
END = START + timedelta(hours=1)
WINDOW = "2023-07-19T00:00:00+00:00-2023-07-19T01:00:00+00:00"


@pytest.mark.parametrize(
    ("template", "prefix"),
    [
        ("plain", "plain"),
        ("{table}", "events"),
        ("{year}/{month}/{day}/{hour}/{minute}/{second}", "2023/07/19/01/00/00"),
        ("y={year}", "y=2023"),
        ("{data_interval_start}", "2023-07-19T00:00:00+00:00"),
        ("{data_interval_end}", "2023-07-19T01:00:00+00:00"),
        ("{{year}}", "{year}"),
        ("", ""),
    ],
)
def test_variables_are_filled_in(template: str, prefix: str) -> None:
    assert render_prefix(template, "events", START, END) == prefix


HOSTILE = (
    *("{0}", "{}", "{x}", "{year", "year}", "}{", "{year}{", "{{}", "a{b}c{", "{ year }", "{YEAR}", "{year}/{nothing}"),
    *("{year.real}", "{year[0]}", "{a.b}", "{data_interval_start.__class__}", "{year!r}", "{year!}", "{year!s:>9}"),
    *("{year:>99999999}", "{x:>99999999}", "{year:{month}}"),
)


@pytest.mark.parametrize("template", HOSTILE)
def test_a_template_with_anything_else_in_braces_is_taken_literally(template: str) -> None:
    assert render_prefix(template, "events", START, END) == template


@pytest.mark.parametrize(
    ("prefix", "key"),
    [
        ("a", f"a/{WINDOW}.jsonl"),
        ("a/b", f"a/b/{WINDOW}.jsonl"),
        ("a/", f"a/{WINDOW}.jsonl"),
        ("/a", f"a/{WINDOW}.jsonl"),
        ("/a//b/", f"a/b/{WINDOW}.jsonl"),
        ("//a///b//", f"a/b/{WINDOW}.jsonl"),
        ("", f"{WINDOW}.jsonl"),
        ("/", f"{WINDOW}.jsonl"),
        ("///", f"{WINDOW}.jsonl"),
    ],
)
def test_slashes_neither_lead_nor_double(prefix: str, key: str) -> None:
    assert object_key(prefix, START, END, "jsonl") == key


def test_numbered_files_and_their_manifest() -> None:
    assert object_key("p", START, END, "jsonl.gz", 0) == f"p/{WINDOW}-0.jsonl.gz"
    assert object_key("p", START, END, "parquet", 12) == f"p/{WINDOW}-12.parquet"
    assert manifest_key("p", START, END) == f"p/{WINDOW}_manifest.json"


def test_a_window_from_the_beginning_of_time() -> None:
    assert render_prefix("{data_interval_start}", "events", None, END) == "START"
    assert object_key("p", None, END, "jsonl") == "p/None-2023-07-19T01:00:00+00:00.jsonl"


def test_times_are_utc_wherever_the_window_was_cut() -> None:
    berlin = datetime.fromisoformat("2023-07-19T02:00:00+02:00")
    assert render_prefix("{hour}", "events", None, berlin) == "00"
    assert object_key("", berlin, END, "jsonl") == f"{WINDOW}.jsonl"


def key_of(template: str, start: datetime | None, end: datetime) -> str:
    return object_key(render_prefix(template, "events", start, end), start, end, "jsonl")


TEMPLATES = st.one_of(
    st.text(),
    st.lists(
        st.sampled_from(["{year}", "{month}", "{day}", "{hour}", "{table}", "{data_interval_start}"])
        | st.sampled_from(["/", "-", "+00:00", "None", "2023-07-19T00:00:00+00:00", "{", "}", "{{", "a"])
    ).map("".join),
)
MOMENTS = st.datetimes(timezones=st.just(UTC))


@settings(deadline=None)
@given(st.text(alphabet="{}[].:!>09ayr/ ") | TEMPLATES, MOMENTS)
def test_no_template_raises(template: str, end: datetime) -> None:
    key = key_of(template, None, end)
    assert not key.startswith("/")
    assert "//" not in key


@settings(deadline=None)
@given(TEMPLATES, st.tuples(st.none() | MOMENTS, MOMENTS), st.tuples(st.none() | MOMENTS, MOMENTS))
def test_no_two_windows_share_a_key(
    template: str, one: tuple[datetime | None, datetime], other: tuple[datetime | None, datetime]
) -> None:
    assume(one != other)
    assert key_of(template, *one) != key_of(template, *other)
    numbered = {object_key(template, *one, "jsonl", number) for number in range(12)}
    assert (
        len(numbered | {key_of(template, *other), manifest_key(template, *one), manifest_key(template, *other)}) == 15
    )


SLICES = st.tuples(
    st.sampled_from(list(Interval)), st.sampled_from(["UTC", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia"])
)


@settings(deadline=None, max_examples=200)
@given(
    TEMPLATES,
    st.lists(SLICES, min_size=1, max_size=3),
    st.datetimes(datetime(2011, 12, 1), datetime(2026, 12, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.sampled_from(["jsonl", "jsonl.gz", "parquet"]),
)
def test_no_two_slices_share_a_key(
    template: str, schedules: list[tuple[Interval, str]], moment: datetime, extension: str
) -> None:
    """Windows of any interval, in any time zone, around a moment; numbered files of each, and its manifest."""
    windows: set[tuple[datetime | None, datetime]] = {(None, moment.replace(microsecond=0))}
    for interval, timezone in schedules:
        schedule = Schedule(interval, timezone)
        first = schedule.align(moment)
        due = schedule.due(first, first + timedelta(days=30), 6)
        windows |= {(window.start, window.end) for window in due}
    keys: list[str] = []
    for start, end in windows:
        prefix = render_prefix(template, "events", start, end)
        keys.append(object_key(prefix, start, end, extension))
        keys.append(manifest_key(prefix, start, end))
        keys += [object_key(prefix, start, end, extension, number) for number in (0, 1, 10, 11, 100)]
        own = names(prefix, start, end, extension)
        assert all(own.fullmatch(key) for key in keys[-7:])
        assert not any(own.fullmatch(key) for key in keys[:-7])
        assert all(key.startswith(stem(prefix, start, end)) for key in keys[-7:])
    assert len(set(keys)) == len(keys) == 7 * len(windows)


@pytest.mark.parametrize("interval", list(Interval))
@pytest.mark.parametrize(
    "timezone", ["UTC", "Europe/Berlin", "Australia/Lord_Howe", "America/St_Johns", "Asia/Kolkata"]
)
def test_a_year_of_windows_has_a_key_each_in_any_time_zone(interval: Interval, timezone: str) -> None:
    """The year's clock changes included: local hours come twice, keys do not."""
    schedule = Schedule(interval, timezone)
    first = schedule.align(datetime(2025, 10, 1, tzinfo=UTC))
    keys = [
        key_of("{year}/{month}/{day}/{hour}", window.start, window.end)
        for window in schedule.due(first, datetime(2026, 10, 1, tzinfo=UTC), 20_000)
    ]
    assert len(set(keys)) == len(keys) >= 52
    assert all(one.split("/", 4)[:4] <= other.split("/", 4)[:4] for one, other in pairwise(keys))
