"""The ``sessions`` model: what sessions there were, and how they stood at the end of any window."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from itertools import count, pairwise
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from app.destinations.columns import FILE_COLUMNS, TABLE_COLUMNS
from app.sources.base import EventQuery, Source
from app.sources.columns import PERSON_COLUMNS, SESSION_COLUMNS
from tests.factories import utc
from tests.sources import direct, model_rules
from tests.sources.browsing import BEFORE, DAY, NOON, SECOND, SESSIONS, TICK, capture, ids, rows, the_row
from tests.sources.model_rules import Event
from tests.sources.store import END, START, TEAM, Connection, add


def test_destinations_store_the_columns_there_are() -> None:
    assert FILE_COLUMNS["sessions"] == TABLE_COLUMNS["sessions"] == tuple(SESSION_COLUMNS.names)
    assert FILE_COLUMNS["persons"] == tuple(PERSON_COLUMNS.names)


async def test_windows_are_half_open_by_when_sessions_changed(source: Source, store: Connection) -> None:
    for session, moment in {"before": BEFORE, "first": START, "last": END - TICK, "z after": END}.items():
        await capture(store, utc(2026, 1, 1), session=session, inserted_at=moment)
    assert await ids(source) == ["first", "last"]
    assert await ids(source, replace(SESSIONS, start=None)) == ["before", "first", "last"]
    assert await ids(source, replace(SESSIONS, start=END, end=START)) == []
    assert await source.earliest(SESSIONS) == START
    assert await source.earliest(replace(SESSIONS, start=None)) == BEFORE


async def test_a_session_is_as_it_was_when_the_window_ended(source: Source, store: Connection) -> None:
    await capture(store, NOON, __current_url="https://a.test/1")
    before = await rows(source)
    await capture(store, NOON - SECOND, inserted_at=END, __current_url="https://a.test/0")
    assert await rows(source) == before
    following = await the_row(source, replace(SESSIONS, start=END, end=END + DAY))
    assert following["urls"] == ["https://a.test/0", "https://a.test/1"]
    assert (following["start_timestamp"], following["_inserted_at"]) == (NOON - SECOND, END)


@pytest.mark.parametrize("ahead", [timedelta(hours=13), timedelta(days=3)])
async def test_a_session_that_ends_ahead_of_its_ingestion_is_in_the_window_of_its_end_alone(
    source: Source, store: Connection, ahead: timedelta
) -> None:
    await capture(store, NOON + ahead, inserted_at=NOON)
    windows = [replace(SESSIONS, start=START + number * DAY, end=END + number * DAY) for number in range(-1, 6)]
    [found] = [query for query in windows if await ids(source, query)]
    assert found.start is not None
    assert found.start <= NOON + ahead < found.end
    assert await source.earliest(found) == NOON + ahead
    assert (await the_row(source, found))["_inserted_at"] == NOON + ahead


async def test_a_clock_that_is_years_ahead_is_not_waited_for(source: Source, store: Connection) -> None:
    await capture(store, utc(2099, 1, 1), inserted_at=NOON)
    row = await the_row(source)
    assert row["end_timestamp"] == row["_inserted_at"] == utc(2099, 1, 1)
    assert await ids(source, replace(SESSIONS, start=utc(2099, 1, 1), end=utc(2099, 1, 2))) == []


async def test_an_id_that_is_used_for_ever_is_read_back_to_three_days(source: Source, store: Connection) -> None:
    for days in range(10):
        await capture(store, START + days * DAY, __current_url=f"https://a.test/{days}")
    row = await the_row(source, replace(SESSIONS, start=START + 9 * DAY, end=START + 10 * DAY))
    assert row["start_timestamp"] == START + 6 * DAY
    assert row["urls"] == [f"https://a.test/{days}" for days in (6, 7, 8, 9)]


@pytest.mark.parametrize("clock", [utc(1970, 1, 1), utc(2099, 1, 1)])
async def test_a_session_of_a_clock_that_is_wrong_all_along_is_whole(
    source: Source, store: Connection, clock: datetime
) -> None:
    for number in range(3):
        await capture(store, clock + number * SECOND, inserted_at=NOON)
    row = await the_row(source)
    assert (row["start_timestamp"], row["pageview_count"], row["duration"]) == (clock, 3, 2)


async def test_late_events_complete_a_session_however_late_they_are(source: Source, store: Connection) -> None:
    await capture(store, START)
    await capture(store, START + SECOND, inserted_at=START + 300 * DAY)
    row = await the_row(source, replace(SESSIONS, start=START + 300 * DAY, end=START + 301 * DAY))
    assert (row["start_timestamp"], row["end_timestamp"], row["pageview_count"]) == (START, START + SECOND, 2)


async def test_backfills_select_sessions_as_schedules_do(source: Source, store: Connection) -> None:
    await capture(store, NOON, session="then")
    await capture(store, NOON, session="later", inserted_at=END)
    assert await rows(source, replace(SESSIONS, select_by="timestamp")) == await rows(source, SESSIONS)
    assert await ids(source, replace(SESSIONS, select_by="timestamp")) == ["then"]


async def test_other_projects_stay_out(source: Source, store: Connection) -> None:
    await capture(store, NOON, team_id=TEAM + 1)
    assert await ids(source) == []
    await capture(store, NOON)
    assert (await the_row(source))["pageview_count"] == 1


async def test_an_empty_window_gives_no_rows(source: Source, store: Connection) -> None:
    await add(store, NOON)  # of no session
    assert await rows(source, SESSIONS) == []
    assert await source.earliest(SESSIONS) is None


HALF_DAYS = 24
URLS = ["https://a.test/x?y", "https://b.test", "http://b.test/z#q", "", None, 17]
WHEN = st.integers(-6, HALF_DAYS - 1)


def make_event(
    number: int, session: str | None, name: str, url: Any, extra: dict[str, Any], happened: int, arrived: int
) -> Event:
    properties = {"$session_id": session, "$current_url": url, **extra}
    moments = [START + tick * DAY / 2 for tick in (happened, arrived)]
    return Event(UUID(int=number), name, f"user {number % 3}", properties, *moments)


EVENTS = st.lists(
    st.builds(
        make_event,
        number=st.integers(0, 10**6),
        session=st.sampled_from(["a", "b", "A", None]),
        name=st.sampled_from(["$pageview", "$autocapture", "$screen", "custom"]),
        url=st.sampled_from(URLS),
        extra=st.sampled_from(
            [
                {},
                {"$pathname": "/p", "$host": "h.test"},
                {"utm_source": "google", "$referring_domain": ""},
                {"utm_source": 1.5, "_kx": True, "$referring_domain": "r.test"},
                {"$external_click_url": "https://out.test", "$web_vitals_LCP_value": 3},
                {"$external_click_url": "https://off.test", "$web_vitals_LCP_value": "slow"},
            ]
        ),
        happened=WHEN,
        arrived=st.integers(0, 11),
    ),
    unique_by=lambda one: one.uuid,
    max_size=14,
)
TEAMS = count(1000)


@examples(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(events=EVENTS, length=st.sampled_from([3, 4, 8]))
async def test_windows_follow_the_rules_whenever_they_are_read_and_sum_up_to_what_holds(
    store: Connection, events: list[Event], length: int
) -> None:
    """Windows of some half days, until no event is ahead of its time any more."""
    team = next(TEAMS)
    cuts = [START + number * DAY / 2 for number in range(0, HALF_DAYS + 1, length)]
    queries = [replace(SESSIONS, project_id=team, start=start, end=end) for start, end in pairwise(cuts)]
    seen: list[list[dict[str, Any]]] = []
    newest: dict[str, dict[str, Any]] = {}
    for query in queries:
        await _arrive(store, team, [one for one in events if _within(one.inserted_at, query)])
        found = await direct.rows(store, query)
        assert _shared(found) == model_rules.sessions(team, events, query.start, query.end)
        seen.append(found)
        newest |= {row["session_id"]: row for row in found}
    assert [await direct.rows(store, query) for query in queries] == seen
    everything = replace(SESSIONS, project_id=team, start=None, end=cuts[-1])
    assert [newest[session_id] for session_id in sorted(newest)] == await direct.rows(store, everything)
    assert newest.keys() == {one.session_id for one in events} - {None}
    earliest = await direct.earliest(store, everything)
    assert (earliest is None) == (not newest)
    first = next((query for query, found in zip(queries, seen, strict=True) if found), None)
    assert first is None or (earliest is not None and earliest < first.end)


def _within(moment: datetime, query: EventQuery) -> bool:
    return (query.start is None or query.start <= moment) and moment < query.end


def _shared(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what the rules in Python do not tell: channels, and click ids, which are like ``utm_source``."""
    untold = {"session_id_v7", "channel_type"} | {
        name for name in SESSION_COLUMNS.names if name.startswith("entry_")
    }.difference(
        ("entry_current_url", "entry_pathname", "entry_hostname", "entry_referring_domain"),
        ("entry_utm_source", "entry__kx"),
    )
    return [{name: value for name, value in row.items() if name not in untold} for row in found]


async def _arrive(store: Connection, team: int, events: list[Event]) -> None:
    for one in events:
        await add(
            store,
            one.timestamp,
            one.event,
            team_id=team,
            uuid=one.uuid,
            distinct_id=one.distinct_id,
            properties=json.dumps(dict(one.properties)),
            inserted_at=one.inserted_at,
        )


async def test_work_is_by_index_alone_and_by_what_has_changed(store: Connection) -> None:
    await store.execute(
        "INSERT INTO event_store.events (team_id, uuid, event, distinct_id, properties, timestamp, inserted_at) "
        "SELECT n % 2, gen_random_uuid(), 'e', 'user', json_build_object('$session_id', n / 20), "
        "$1::timestamptz + n * interval '1 minute', $1::timestamptz + n * interval '1 minute' "
        "FROM generate_series(1, 40000) n",
        START,
    )
    await store.execute("ANALYZE event_store.events")
    start = START + 5 * DAY
    query = replace(SESSIONS, project_id=1, start=start, end=start + timedelta(hours=2))
    for plan in await direct.plans(store, query):
        assert "Index" in plan
        assert "Seq Scan" not in plan, plan
