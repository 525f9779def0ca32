"""Rows in the order that partitions need: sorted by the event store, whatever the query makes of its columns."""

from dataclasses import replace
from datetime import timedelta

import pytest

from app.query.select import select_list
from app.sources.base import Source
from tests.sources.browsing import SESSIONS, capture
from tests.sources.store import QUERY, START, Connection, add, read

BY_EVENT = replace(QUERY, order=("event", "timestamp"))
NAMES = ["", "$b", "B", "Z", "a", "é", "\U0001f994"]
"""By their bytes; most languages sort them otherwise."""


async def add_shuffled(store: Connection) -> None:
    for hour in (3, 1, 2):
        for name in reversed(NAMES):
            await add(store, START + timedelta(hours=hour), name)


async def test_events_come_by_name_and_then_by_time(source: Source, store: Connection) -> None:
    await add_shuffled(store)
    table = await read(source, BY_EVENT)
    assert table.column("event").to_pylist() == [name for name in NAMES for _ in range(3)]
    assert table.column("timestamp").to_pylist() == [START + timedelta(hours=hour) for hour in (1, 2, 3)] * len(NAMES)
    by_time = await read(source, replace(QUERY, order=("timestamp",)))
    assert by_time.column("timestamp").equals(table.sort_by("timestamp").column("timestamp"))


@pytest.mark.parametrize(
    "query",
    [
        "SELECT event AS name, timestamp AS at FROM events",
        # Names of output columns that mean something else.
        "SELECT event AS name, created_at AS timestamp, uuid AS event, timestamp AS at FROM events",
    ],
)
async def test_a_query_may_call_its_columns_anything(source: Source, store: Connection, query: str) -> None:
    await add_shuffled(store)
    table = await read(source, replace(BY_EVENT, fields=select_list(query)))
    assert table.column("name").to_pylist() == [name for name in NAMES for _ in range(3)]
    assert table.column("at").to_pylist() == [START + timedelta(hours=hour) for hour in (1, 2, 3)] * len(NAMES)


async def test_rows_can_be_sorted_by_what_is_not_read(source: Source, store: Connection) -> None:
    await add_shuffled(store)
    table = await read(source, replace(BY_EVENT, columns=("event",)))
    assert table.column_names == ["event"]
    assert table.column("event").to_pylist() == [name for name in NAMES for _ in range(3)]


async def test_sessions_come_by_when_they_began(source: Source, store: Connection) -> None:
    for number, minute in enumerate((30, 10, 20, 40)):
        await capture(store, START + timedelta(hours=1, minutes=minute), session=f"s{number}")
    table = await read(source, replace(SESSIONS, order=("start_timestamp",), columns=("session_id",)))
    assert table.column("session_id").to_pylist() == ["s1", "s2", "s0", "s3"]
