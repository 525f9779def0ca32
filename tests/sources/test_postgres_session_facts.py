"""What is told of a session: from the first event to the last, whatever clients have sent."""

import json
from datetime import timedelta
from typing import Any

import pytest

from app.sources.base import Source
from app.sources.columns import SESSION_COLUMNS
from app.sources.postgres.facts import MAX_TEXT, MAX_URLS
from tests.sources.browsing import NOON, SECOND, SESSIONS, capture, ids, the_row
from tests.sources.store import START, TEAM, Connection, add, read


async def test_a_row_comes_with_its_every_value(source: Source, store: Connection) -> None:
    session = "0195514c-7000-7abc-8def-0123456789AB"
    entry = {
        name: f"the {name}"
        for name in (
            *("utm_source", "utm_campaign", "utm_medium", "utm_term", "utm_content", "gclid", "fbclid", "gad_source"),
            *("gclsrc", "dclid", "gbraid", "wbraid", "msclkid", "twclid", "li_fat_id", "mc_cid", "igshid", "ttclid"),
            *("_kx", "irclid"),
        )
    }
    first, last = "https://me@shop.example.com:8080/a/b?c=d#e", "https://www.example.com"
    await capture(store, NOON, session=session, distinct_id="stranger", __current_url=first, **entry)
    await capture(store, NOON + SECOND, "$screen", session, __referring_domain="www.google.com")
    clicked = {"__external_click_url": "https://elsewhere.test/", "__current_url": first}
    await capture(store, NOON + 2 * SECOND, "$autocapture", session, **clicked)
    await capture(store, NOON + 3 * SECOND, "$web_vitals", session, __web_vitals_LCP_value=1234.5)
    late: dict[str, Any] = {"distinct_id": "somebody", "inserted_at": NOON + timedelta(hours=1)}
    await capture(store, NOON + 64.9 * SECOND, session=session, __current_url=last, utm_source="other", **late)
    table = await read(source, SESSIONS)
    assert table.schema.equals(SESSION_COLUMNS, check_metadata=True)
    assert table.to_pylist() == [
        {
            "session_id": session,
            "session_id_v7": session.lower(),
            "team_id": TEAM,
            "distinct_id": "somebody",
            "start_timestamp": NOON,
            "end_timestamp": NOON + 64.9 * SECOND,
            "urls": [first, last],
            "num_uniq_urls": 2,
            "entry_current_url": first,
            "entry_pathname": "/a/b",
            "entry_hostname": "shop.example.com",
            "end_current_url": last,
            "end_pathname": "/",
            "end_hostname": "www.example.com",
            "exit_current_url": last,
            "exit_pathname": "/",
            "entry_referring_domain": "www.google.com",
            **{f"entry_{name}": value for name, value in entry.items()},
            "pageview_count": 2,
            "autocapture_count": 1,
            "screen_count": 1,
            "page_screen_autocapture_count_up_to": 2,
            "channel_type": "Paid Search",
            "session_duration": 64,
            "duration": 64,
            "is_bounce": False,
            "last_external_click_url": "https://elsewhere.test/",
            "vitals_lcp": 1234.5,
            "_inserted_at": NOON + timedelta(hours=1),
        }
    ]


async def test_what_is_missing_is_null_and_lists_are_empty(source: Source, store: Connection) -> None:
    await capture(store, NOON, "custom")
    row = await the_row(source)
    assert (row["urls"], row["num_uniq_urls"], row["pageview_count"], row["duration"]) == ([], 0, 0, 0)
    given = {"session_id", "team_id", "distinct_id", "start_timestamp", "end_timestamp", "urls", "num_uniq_urls"}
    given |= {"pageview_count", "autocapture_count", "screen_count", "page_screen_autocapture_count_up_to"}
    given |= {"channel_type", "session_duration", "duration", "_inserted_at"}
    assert {name for name, value in row.items() if value is not None} == given


@pytest.mark.parametrize("session", [None, "", "x" * 201, {"a": 1}, [1], 17, True, "é 'x' \\ 🦔"], ids=repr)
async def test_sessions_of_odd_ids(source: Source, store: Connection, session: Any) -> None:
    await capture(store, NOON, session=session)
    text = session if isinstance(session, str) else json.dumps(session)
    assert await ids(source) == ([text[:200]] if session is not None and text else [])


POISON = {
    "NUL": r'"a\u0000b"',
    "half a surrogate pair": r'"\ud800x"',
    "a list": "[1, [2], {}]",
    "an object": '{"a": {"b": null}}',
    "a number out of range": "1e400",
    "hundreds of digits": "9" * 400,
    "a boolean": "true",
    "null": "null",
    "no URL": '"::://?#[]@"',
    "no host": '"file:///etc/passwd"',
    "a long text": json.dumps("é" * 100_000, ensure_ascii=False),
    "nested deeply": "[" * 3000 + "]" * 3000,
    "odd": r'"\u0001\u2028\t\\ \" 🦔"',
}
PROPERTIES = [
    *("$current_url", "$pathname", "$host", "$referring_domain", "$external_click_url", "$web_vitals_LCP_value"),
    *("utm_source", "utm_medium", "gclid", "_kx"),
]


@pytest.mark.parametrize("value", POISON.values(), ids=POISON.keys())
async def test_whatever_is_stored_a_session_can_be_told(source: Source, store: Connection, value: str) -> None:
    document = ", ".join(f'"{name}": {value}' for name in PROPERTIES)
    for event in ("$pageview", "$autocapture"):
        properties = f'{{"$session_id": "s", {document}, "x\\u0000": "\\udfff", "$current_url": {value}}}'
        await add(store, NOON, event, properties=properties)
    row = await the_row(source)
    assert (row["pageview_count"], row["autocapture_count"]) == (1, 1)
    assert all(len(text) <= MAX_TEXT for text in row.values() if isinstance(text, str))
    assert row["vitals_lcp"] is None


@pytest.mark.parametrize(
    ("value", "number"),
    [(0, 0.0), (-1.5, -1.5), ("1234.5", 1234.5), (1e-9, 1e-9), (12345678901234567, None), ("NaN", None), ("1_0", None)],
)
async def test_vitals_are_numbers(source: Source, store: Connection, value: Any, number: float | None) -> None:
    await capture(store, NOON, __web_vitals_LCP_value=value)
    assert (await the_row(source))["vitals_lcp"] == number


async def test_of_many_addresses_the_first_are_listed_and_all_are_counted(source: Source, store: Connection) -> None:
    await store.execute(
        "INSERT INTO event_store.events (team_id, uuid, event, distinct_id, properties, timestamp, inserted_at) "
        "SELECT $1, gen_random_uuid(), 'e', 'user', json_build_object('$session_id', 's', '$current_url', n % 700), "
        "$2::timestamptz + n * interval '1 second', $2 FROM generate_series(0, 1999) n",
        TEAM,
        START,
    )
    row = await the_row(source)
    assert row["urls"] == [str(number) for number in range(MAX_URLS)]
    assert row["num_uniq_urls"] == 700


@pytest.mark.parametrize(
    ("events", "bounced"),
    [
        ([], None),
        (["$autocapture"], None),
        (["$pageview"], True),
        (["$screen"], True),
        (["$pageview", "$autocapture"], False),
        (["$pageview", "$pageview"], False),
        (["$pageview", "$screen"], False),
    ],
)
@pytest.mark.parametrize(("length", "short"), [(9.999, True), (10, False)])
async def test_bounces_are_single_short_looks_without_a_click(
    source: Source, store: Connection, events: list[str], bounced: bool | None, length: float, short: bool
) -> None:
    for event in (*events, "custom"):
        await capture(store, NOON, event)
    await capture(store, NOON + length * SECOND, "custom")
    expected = bounced if bounced is None else bounced and short
    assert (await the_row(source))["is_bounce"] is expected


@pytest.mark.parametrize(
    ("entry", "channel"),
    [
        ({}, "Unknown"),
        ({"__referring_domain": "$direct"}, "Direct"),
        ({"utm_source": "(direct)", "utm_medium": "(none)"}, "Direct"),
        ({"__referring_domain": "www.google.co.uk"}, "Organic Search"),
        ({"__referring_domain": "duckduckgo.com"}, "Organic Search"),
        ({"utm_source": "Google", "utm_medium": "CPC"}, "Paid Search"),
        ({"__referring_domain": "www.google.com", "gclid": "x"}, "Paid Search"),
        ({"gad_source": "1"}, "Paid Search"),
        ({"__referring_domain": "l.facebook.com"}, "Organic Social"),
        ({"__referring_domain": "$direct", "fbclid": "x"}, "Organic Social"),
        ({"utm_source": "facebook", "utm_medium": "paid-social"}, "Paid Social"),
        ({"utm_source": "youtube", "utm_medium": "ppc"}, "Paid Video"),
        ({"__referring_domain": "www.youtube.com"}, "Organic Video"),
        ({"utm_source": "newsletter"}, "Email"),
        ({"utm_source": "anybody", "utm_medium": "e-mail"}, "Email"),
        ({"__referring_domain": "www.amazon.de"}, "Organic Shopping"),
        ({"utm_source": "partner", "utm_medium": "affiliate"}, "Affiliate"),
        ({"utm_medium": "sms"}, "SMS"),
        ({"utm_medium": "web-push"}, "Push"),
        ({"utm_medium": "podcast"}, "Audio"),
        ({"utm_source": "partner", "utm_medium": "display"}, "Paid Unknown"),
        ({"utm_campaign": "Cross-Network", "gclid": "x"}, "Cross Network"),
        ({"__referring_domain": "blog.example.com"}, "Referral"),
        ({"__referring_domain": "notgoogle.example.com"}, "Referral"),
        ({"__referring_domain": "$direct", "utm_source": "partner"}, "Unknown"),
    ],
    ids=str,
)
async def test_channels(source: Source, store: Connection, entry: dict[str, str], channel: str) -> None:
    await capture(store, NOON, **entry)
    assert (await the_row(source))["channel_type"] == channel
