"""Filters, executed: every operator against known answers."""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest

from app.query.filters import OPERATORS, conditions
from app.sources.base import Source
from tests.factories import utc
from tests.sources.asking import meet, meet_each
from tests.sources.store import START, Connection, add

VALUES = {
    "missing": "{}",
    "null": '{"p": null}',
    "empty": '{"p": ""}',
    "Firefox": '{"p": "Firefox"}',
    "firefox": '{"p": "firefox"}',
    "Öl 100%": '{"p": "Öl 100%"}',
    "5": '{"p": "5"}',
    "n5": '{"p": 5}',
    "n5.0": '{"p": 5.0}',
    "n-1.5e1": '{"p": -1.5e1}',
    "n1e999": '{"p": 1e999}',
    "true": '{"p": true}',
    "t true": '{"p": "true"}',
    "array": '{"p": ["Firefox", 5]}',
    "object": '{"p": {"p": "Firefox"}}',
    "date": '{"p": "2026-02-22"}',
    "moment": '{"p": "2026-02-22T23:30:00-01:00"}',
    "noon": '{"p": "2026-02-22 12:00:00"}',
    "no date": '{"p": "2026-02-30"}',
}
"""By the event's name, its properties."""
DATES = ("date", "moment", "noon")
PRESENT = sorted(set(VALUES) - {"missing", "null"})


def others(*names: str) -> list[str]:
    return sorted(set(VALUES) - set(names))


@pytest.fixture
async def events(store: Connection) -> None:
    for name, properties in VALUES.items():
        await add(store, START, name, properties=properties, person_properties=properties)


POSITIVE: list[tuple[str, Any, Sequence[str]]] = [
    ("exact", "Firefox", ["Firefox"]),
    ("exact", ["Firefox", "firefox"], ["Firefox", "firefox"]),
    ("exact", "", ["empty"]),
    ("exact", "5", ["5", "n5"]),
    ("exact", 5, ["5", "n5", "n5.0"]),
    ("exact", 5.0, ["5", "n5", "n5.0"]),
    ("exact", -15, ["n-1.5e1"]),
    ("exact", [5, "Firefox", True], ["5", "Firefox", "n5", "n5.0", "t true", "true"]),
    ("exact", True, ["t true", "true"]),
    ("exact", "true", ["t true", "true"]),
    ("exact", "' OR true --", []),
    ("in", ["empty", "Firefox"], ["Firefox"]),
    ("icontains", "FIRE", ["Firefox", "array", "firefox", "object"]),
    ("icontains", "öL", ["Öl 100%"]),
    ("icontains", "%", ["Öl 100%"]),
    ("icontains", "_", []),
    ("icontains", "\\", []),
    ("icontains", ["%", 'fox"'], ["array", "object", "Öl 100%"]),
    ("icontains", "", PRESENT),
    ("icontains_multi", ["fire", "öl"], ["Firefox", "array", "firefox", "object", "Öl 100%"]),
    ("starts_with", "Fire", ["Firefox"]),
    ("starts_with", ["Fire", "["], ["Firefox", "array"]),
    ("ends_with", "fox", ["Firefox", "firefox"]),
    ("regex", "^[Ff]ire", ["Firefox", "firefox"]),
    ("regex", "(?i)^FIRE", ["Firefox", "firefox"]),
    ("regex", ["^5$", "%$"], ["5", "n5", "Öl 100%"]),
    ("regex", "^$", ["empty"]),
    ("gt", 4, ["5", "n5", "n5.0"]),
    ("gt", "5", []),
    ("gte", "5", ["5", "n5", "n5.0"]),
    ("gte", ["5.0"], ["5", "n5", "n5.0"]),
    ("min", 5, ["5", "n5", "n5.0"]),
    ("lt", 5, ["n-1.5e1"]),
    ("lte", 5, ["5", "n-1.5e1", "n5", "n5.0"]),
    ("max", "-15", ["n-1.5e1"]),
    ("between", [-15, 5], ["5", "n-1.5e1", "n5", "n5.0"]),
    ("between", ["5", "6"], ["5", "n5", "n5.0"]),
    ("between", [6, 5], []),
    ("is_set", None, PRESENT),
    ("is_not_set", None, ["missing", "null"]),
    ("is_date_exact", "2026-02-22", ["date", "noon"]),
    ("is_date_exact", "2026-02-23", ["moment"]),
    ("is_date_exact", "2026-02-22 13:00:00+01:00", ["noon"]),
    ("is_date_exact", "2026-02-22T12:00:00.000001", []),
    ("is_date_exact", "-8d", ["date"]),
    ("is_date_before", "2026-02-22", []),
    ("is_date_before", "2026-02-23", ["date", "noon"]),
    ("is_date_before", "2026-02-23 00:30:00.000001", DATES),
    ("is_date_before", "9999-12-30", DATES),
    ("is_date_before", "-1w", ["date", "noon"]),
    ("is_date_before", "-180h", ["date"]),
    ("is_date_after", "2026-02-21", DATES),
    ("is_date_after", "2026-02-22", ["moment"]),
    ("is_date_after", ["2026-02-22 11:59:59"], ["moment", "noon"]),
    ("is_date_after", "-1m", DATES),
    ("is_date_after", "-1q", DATES),
    ("is_date_after", "-1y", DATES),
    ("is_date_after", "0001-01-01", DATES),
]
NEGATIVE = {
    "exact": "is_not",
    "in": "not_in",
    "icontains": "not_icontains",
    "icontains_multi": "not_icontains_multi",
    "starts_with": "not_starts_with",
    "ends_with": "not_ends_with",
    "regex": "not_regex",
    "between": "not_between",
}


@pytest.mark.usefixtures("events")
async def test_operators_let_known_events_pass(source: Source) -> None:
    for kind in ("event", "person"):
        filters = [{"type": kind, "key": "p", "operator": operator, "value": value} for operator, value, _ in POSITIVE]
        for (operator, value, expected), found in zip(POSITIVE, await meet_each(source, filters), strict=True):
            assert (operator, value, found) == (operator, value, sorted(expected))


@pytest.mark.usefixtures("events")
async def test_negative_operators_let_all_others_pass_and_what_is_missing_too(source: Source) -> None:
    cases = [(NEGATIVE[operator], value, expected) for operator, value, expected in POSITIVE if operator in NEGATIVE]
    filters = [{"type": "event", "key": "p", "operator": operator, "value": value} for operator, value, _ in cases]
    for (operator, value, expected), found in zip(cases, await meet_each(source, filters), strict=True):
        assert (operator, value, found) == (operator, value, others(*expected))


def test_every_operator_has_a_case() -> None:
    tried = {operator for operator, _, _ in POSITIVE}
    assert tried | {NEGATIVE[operator] for operator in tried & NEGATIVE.keys()} == OPERATORS.keys()


@pytest.mark.usefixtures("events")
async def test_filters_must_all_hold_and_events_be_included(source: Source) -> None:
    fox = {"type": "event", "key": "p", "operator": "icontains", "value": "fox"}
    upper = {"type": "hogql", "key": "properties.p != lower(properties.p)"}
    exact = {"type": "person", "key": "p", "value": "Firefox"}
    assert await meet(source, []) == sorted(VALUES)
    assert await meet(source, [fox, upper]) == ["Firefox", "array", "object"]
    assert await meet(source, [fox, upper, exact]) == ["Firefox"]
    assert await meet(source, [exact, {**exact, "operator": "is_not"}]) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", sorted(VALUES)),
        ("properties.p = 5", ["5", "n5", "n5.0"]),
        ("properties.p > 4 or person.properties.p = 'Firefox'", ["5", "Firefox", "n5", "n5.0"]),
        ("properties.p", ["t true", "true"]),
        ("not properties.p", []),
        ("event = 'missing' and timestamp >= '2026-03-01'", ["missing"]),
        ("event in ('null', 'empty') and isNull(properties.p)", ["null"]),
        ("NULL", []),
        ("1 / 0 > 1", []),
        ("toDateTime(properties.p) = '2026-02-23 01:30:00+01:00'", ["moment"]),
        ("properties.p[1] = 'Firefox'", ["array"]),
        ("properties.p.p = 'Firefox'", ["object"]),
    ],
)
@pytest.mark.usefixtures("events")
async def test_hogql_conditions_let_known_events_pass(source: Source, text: str, expected: list[str]) -> None:
    assert await meet(source, [{"type": "hogql", "key": text}]) == expected


KEYS = ["a'b", 'a"b', "a.b", "a b", "0", "-1", "$x", "\\", "é🦔", "--", "; DROP TABLE x", "%", "a{b}"]


async def test_a_key_is_taken_as_it_is(source: Source, store: Connection) -> None:
    for key in KEYS:
        await add(store, START, key, properties=json.dumps({key: "here", "a": {"b": "there"}, "x": ["not", "here"]}))
    filters = [{"type": "event", "key": key, "value": "here"} for key in KEYS]
    assert await meet_each(source, filters) == [[key] for key in KEYS]


@pytest.mark.parametrize(
    ("relative", "moment"),
    [
        ("-36h", utc(2026, 3, 30, 0)),
        ("-1m", utc(2026, 2, 28, 12)),
        ("-1q", utc(2025, 12, 31, 12)),
        ("-2y", utc(2024, 3, 31, 12)),
        ("-25m", utc(2024, 2, 29, 12)),
    ],
)
def test_relative_dates_count_from_the_end_of_the_window(relative: str, moment: datetime) -> None:
    wanted = {"type": "event", "key": "p", "operator": "is_date_exact", "value": relative}
    exact = {**wanted, "value": moment.isoformat()}
    until = utc(2026, 3, 31, 12)
    assert conditions([wanted], until) == conditions([exact], until)
