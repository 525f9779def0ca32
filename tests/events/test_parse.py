"""What a line of a file must be, and what of it is changed."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.events.parse import Rejected, parse_line

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
FULL = {
    "uuid": "0190A5F0-7a2e-7c9b-8d1e-3f4a5b6c7d8e",
    "event": "$pageview",
    "distinct_id": "ada",
    "timestamp": "2026-05-31T23:59:59.999999+05:30",
    "properties": {"a": [1, {"b": None}]},
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def line(**changes: object) -> bytes:
    document = {**FULL, **changes}
    return json.dumps({key: value for key, value in document.items() if value is not ...}).encode()


def test_every_field_is_read() -> None:
    parsed = parse_line(line(), NOW)
    assert parsed.row == (
        UUID("0190a5f0-7a2e-7c9b-8d1e-3f4a5b6c7d8e"),
        "$pageview",
        "ada",
        None,
        '{"a": [1, {"b": null}]}',
        None,
        "",
        datetime(2026, 5, 31, 18, 29, 59, 999999, tzinfo=UTC),
    )
    assert not parsed.sanitised


def test_what_is_left_out_gets_a_default() -> None:
    first, second = (parse_line(line(uuid=..., timestamp=..., properties=...), NOW).row for _ in range(2))
    assert (first.timestamp, first.properties) == (NOW, "{}")
    assert first.uuid != second.uuid


def test_an_export_can_be_loaded_again() -> None:
    person = "0190a5f0-7a2e-7c9b-8d1e-3f4a5b6c7d8f"
    row = parse_line(line(person_id=person, person_properties={"p": 1}, elements_chain="a:b", created_at="x"), NOW).row
    assert (row.person_id, row.person_properties, row.elements_chain) == (UUID(person), '{"p": 1}', "a:b")


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-01-02", datetime(2026, 1, 2, tzinfo=UTC)),
        ("2026-01-02 03:04:05", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05.123456789Z", datetime(2026, 1, 2, 3, 4, 5, 123456, tzinfo=UTC)),
        ("2026-01-02T03:04:05-08:00", datetime(2026, 1, 2, 11, 4, 5, tzinfo=UTC)),
    ],
)
def test_timestamps_are_read_as_iso_8601_and_utc_without_a_zone(text: str, utc: datetime) -> None:
    assert parse_line(line(timestamp=text), NOW).row.timestamp == utc


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[]", "Expected `object`, got `array`"),
        (b'"text"', "Expected `object`"),
        (line(event=...), "missing required field `event`"),
        (line(distinct_id=...), "missing required field `distinct_id`"),
        (line(event=None), "got `null` - at `$.event`"),
        (line(event=7), "got `int` - at `$.event`"),
        (line(event=""), "'event' is empty"),
        (line(event="\0"), "'event' is empty"),
        (line(distinct_id=""), "'distinct_id' is empty"),
        (line(distinct_id=1.5), "at `$.distinct_id`"),
        (line(uuid="no"), "Invalid UUID - at `$.uuid`"),
        (line(uuid=5), "at `$.uuid`"),
        (line(timestamp="yesterday"), "no ISO 8601 datetime that can be stored: 'yesterday'"),
        (line(timestamp="0001-01-01T00:00:00+14:00"), "no ISO 8601 datetime"),
        # Stored, these two would be minus infinity and infinity.
        (line(timestamp="0001-01-01T00:00:00Z"), "no ISO 8601 datetime that can be stored"),
        (line(timestamp="9999-12-31T23:59:59.999999Z"), "no ISO 8601 datetime that can be stored"),
        (line(timestamp=1700000000), "at `$.timestamp`"),
        (line(properties=[]), "'properties' is no object"),
        (line(properties="{}"), "'properties' is no object"),
        (line().replace(b"null", b"NaN"), "not valid JSON"),
        (line().replace(b"null", b'"\x01"'), "not valid JSON"),
        (line().replace(b"null", b'"\xff"'), "not valid UTF-8"),
        (line().replace(b"null", b"[" * 50_000 + b"]" * 50_000), "nested too deeply"),
        (line() + b"x", "trailing characters"),
    ],
)
def test_what_is_no_event_is_rejected_with_the_reason(text: bytes, reason: str) -> None:
    with pytest.raises(Rejected) as rejected:
        parse_line(text, NOW)
    assert reason in str(rejected.value)


def test_numbers_keep_their_last_digit() -> None:
    text = b'{"event":"e","distinct_id":"d","properties":{"big":18446744073709551615,"f":1.10,"e":1E400,"z":-0.0}}'
    assert parse_line(text, NOW).row.properties == '{"big":18446744073709551615,"f":1.10,"e":1E400,"z":-0.0}'


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        (rb'{"a":"x\u0000y"}', '{"a":"xy"}'),
        (rb'{"a\u0000b":1}', '{"ab":1}'),
        (rb'{"a":"\ud800"}', '{"a":""}'),
        (rb'{"a":"\udc00\ud800"}', '{"a":""}'),
        (rb'{"a":"\ud83d\ude00\ud83d"}', r'{"a":"\ud83d\ude00"}'),
        (rb'{"a":"\ud800\ud83d\ude00"}', r'{"a":"\ud83d\ude00"}'),
        (rb'{"a":"\ud83d\u0000\ude00"}', '{"a":""}'),
    ],
)
def test_nul_and_lone_surrogates_are_removed(sent: bytes, stored: str) -> None:
    parsed = parse_line(b'{"event":"e","distinct_id":"d","properties":' + sent + b"}", NOW)
    assert (parsed.row.properties, parsed.sanitised) == (stored, True)


@pytest.mark.parametrize(
    "kept", [r'{"a":"\\u0000"}', r'{"a":"\\\\ud800"}', r'{"a":"\ud83d\ude00"}', r'{"a":"é\u00e9"}']
)
def test_what_only_looks_like_them_is_kept(kept: str) -> None:
    parsed = parse_line(b'{"event":"e","distinct_id":"d","properties":' + kept.encode() + b"}", NOW)
    assert (parsed.row.properties, parsed.sanitised) == (kept, False)


def test_they_are_removed_from_names_too() -> None:
    row = parse_line(rb'{"event":"a\u0000b","distinct_id":"c\udfffd"}', NOW).row
    assert (row.event, row.distinct_id) == ("ab", "cd")


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_any_properties_come_out_equal(properties: dict[str, object]) -> None:
    parsed = parse_line(line(properties=properties), NOW)
    if not parsed.sanitised:
        assert json.loads(parsed.row.properties) == properties
