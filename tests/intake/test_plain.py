"""The short way and the long one make the same of every event."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from app.intake import events
from app.intake.events import parse_event
from app.intake.incoming import Context
from app.intake.plain import parse_plain
from tests.intake.sending import event

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CONTEXT = Context(7, "phc_x", NOW, datetime(2026, 6, 1, 11, 59, tzinfo=UTC), 1_000_000)

odd = st.sampled_from([None, "", " ", 7, 1.5, True, [], {}, "x" * 200, "😀" * 201, "phc_x", "phc_y", {"a": 1}, ["a"]])
moments = st.sampled_from(
    [
        *("2026-06-01T10:00:00Z", "2026-06-01T10:00:00.123456+05:30", "2026-06-01 10:00:00", "2026-06-01"),
        *("2026-06-02T11:01:00Z", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2026-06-01T10:00:00", "soon"),
    ]
)
uuids = st.sampled_from(["0190A5F0-7a2e-7c9b-8d1e-3f4a5b6c7d8e", "0190a5f07a2e7c9b8d1e3f4a5b6c7d8e"])
names = st.sampled_from(["e", "$identify", "$create_alias", "$set", "$merge_dangerously"])
properties = st.dictionaries(
    st.sampled_from(
        [
            *("token", "alias", "distinct_id", "plan", "$set", "$set_once", "$unset", "$anon_distinct_id"),
            *("$process_person_profile", "$elements_chain", "$ignore_sent_at"),
        ]
    ),
    odd | st.booleans(),
    max_size=3,
)
documents = st.fixed_dictionaries(
    {"uuid": uuids},
    optional={
        "event": names | odd,
        "distinct_id": st.just("d") | odd,
        "timestamp": moments | odd,
        "offset": st.integers(-1000, 1000) | odd,
        "properties": properties | odd,
        "$set": odd,
        "token": odd,
    },
)


@given(documents)
def test_both_ways_agree(document: dict[str, Any]) -> None:
    raw = Raw(json.dumps(document).encode())
    short = parse_plain(raw, CONTEXT)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(events, "parse_plain", lambda *_: None)
        long, problems = parse_event(raw, CONTEXT)
    if short is not None:
        assert (short, []) == (long, list(problems))


@pytest.mark.parametrize(
    "document",
    [
        event(timestamp="2026-06-01T10:00:00Z"),
        event(timestamp="2026-06-01T10:00:00+02:00", properties={"a": 1, "token": "phc_x"}),
        event(timestamp="2026-06-01T10:00:00", properties={"$set": {"a": 1}, "$set_once": {"b": 2}}),
    ],
)
def test_what_sdks_send_goes_the_short_way(document: dict[str, Any]) -> None:
    document.setdefault("properties", {})
    assert parse_plain(Raw(json.dumps(document).encode()), CONTEXT) is not None
