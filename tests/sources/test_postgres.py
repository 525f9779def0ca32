"""The event store in Postgres, read as Arrow: the right rows, as they are, in bounded batches."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psutil
import pytest

from app.sources.base import Source
from app.sources.columns import EVENT_COLUMNS
from app.streams import is_json
from tests.factories import utc
from tests.sources.store import BATCH_BYTES, END, QUERY, START, TEAM, Connection, add, fill, names, read


async def test_a_row_comes_with_its_every_value(source: Source, store: Connection) -> None:
    person = uuid4()
    moment = utc(2026, 3, 1, 12, 0, 0, 123456)
    properties = (
        '{"b": 1,  "a": "\\u00e9 \\" 🦔", "big": 18446744073709551615, "n": null, '
        '"$set": {"plan":  "paid"}, "$set_once": null, "$ip": "10.0.0.1"}'
    )
    uuid = await add(
        store,
        moment,
        "naïve \\ 'event'\t🦔",
        person_id=person,
        properties=properties,
        person_properties='["x"]',
        elements_chain='a:nth-child="1"',
        inserted_at=utc(2026, 3, 5),
        created_at=utc(1969, 12, 31, 23, 59, 59, 999999),
    )
    table = await read(source)
    assert table.schema.equals(EVENT_COLUMNS, check_metadata=True)
    assert [field.name for field in table.schema if is_json(field)] == [
        "properties",
        "person_properties",
        "set",
        "set_once",
        "people_set",
        "people_set_once",
    ]
    exported_at = {name for name in table.column_names if name.endswith("_ingested_timestamp")}
    assert len({table.column(name)[0] for name in exported_at}) == 1
    assert table.drop_columns([*exported_at]).to_pylist() == [
        {
            "uuid": str(uuid),
            "event": "naïve \\ 'event'\t🦔",
            "properties": properties,
            "distinct_id": "user",
            "person_id": str(person),
            "person_properties": '["x"]',
            "elements_chain": 'a:nth-child="1"',
            "timestamp": moment,
            "created_at": utc(1969, 12, 31, 23, 59, 59, 999999),
            "_inserted_at": utc(2026, 3, 5),
            "team_id": TEAM,
            "elements": 'a:nth-child="1"',
            "set": '{"plan":  "paid"}',
            "set_once": "null",
            "people_set": '{"plan":  "paid"}',
            "people_set_once": "null",
            "ip": "10.0.0.1",
            "site_url": "",
        }
    ]


async def test_what_is_missing_is_null(source: Source, store: Connection) -> None:
    await add(store, START)
    [row] = (await read(source)).to_pylist()
    assert (row["person_id"], row["person_properties"], row["elements_chain"]) == (None, None, "")


async def test_only_the_columns_asked_for_come_in_their_order(source: Source, store: Connection) -> None:
    await add(store, START)
    table = await read(source, replace(QUERY, columns=("timestamp", "event")))
    assert table.to_pylist() == [{"timestamp": START, "event": "e"}]


@pytest.mark.parametrize(("select_by", "column"), [("timestamp", "timestamp"), ("ingested_at", "inserted_at")])
async def test_windows_are_half_open(source: Source, store: Connection, select_by: Any, column: str) -> None:
    tick = timedelta(microseconds=1)
    for event, moment in {"before": START - tick, "first": START, "last": END - tick, "after": END}.items():
        await add(store, utc(2000, 1, 1), event, **{"inserted_at": utc(2000, 1, 1), column: moment})
    query = replace(QUERY, select_by=select_by)
    assert await names(source, query) == ["first", "last"]
    assert await names(source, replace(query, start=None)) == ["before", "first", "last"]
    assert await source.earliest(query) == START
    assert await source.earliest(replace(query, start=None)) == START - tick
    assert await names(source, replace(query, start=END, end=START)) == []


async def test_other_projects_stay_out(source: Source, store: Connection) -> None:
    await add(store, START, team_id=TEAM + 1)
    assert await names(source, QUERY) == []


async def test_an_empty_window_gives_no_rows(source: Source) -> None:
    assert (await read(source)).num_rows == 0
    assert await source.count(QUERY) == 0
    assert await source.earliest(QUERY) is None


HOSTILE = [
    "",
    " ",
    "'",
    '"',
    "%",
    "%s",
    "\\",
    "\\'",
    "$1",
    ";--",
    "{",
    "a,b",
    "null",
    "é",
    "e\u0301",
    "🦔",
    "\n",
    "NULL",
]


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_name_selects_itself_alone(source: Source, store: Connection, name: str) -> None:
    for event in HOSTILE:
        await add(store, START, event)
    others = sorted(event for event in HOSTILE if event != name)
    assert await names(source, replace(QUERY, include_events=[name])) == [name]
    assert await names(source, replace(QUERY, exclude_events=[name])) == others


@pytest.mark.parametrize(
    ("include", "exclude", "left"),
    [
        ([], [], ["a", "b", "c"]),
        (["a", "b"], [], ["a", "b"]),
        ([], ["a", "b"], ["c"]),
        (["a", "b"], ["b", "c"], ["a"]),
        (["a"], ["a"], []),
        (["A"], [], []),
        (["a", "a"], [], ["a"]),
        # What Postgres cannot hold is no event's name.
        (["a\x00"], [], []),
        (["\ud800", "a"], [], ["a"]),
        ([], ["\x00", "a", "\udfff"], ["b", "c"]),
        ([f"name {number}" for number in range(20_000)] + ["b"], [], ["b"]),
    ],
)
async def test_events_are_included_and_excluded(
    source: Source, store: Connection, include: Sequence[str], exclude: Sequence[str], left: list[str]
) -> None:
    for event in "abc":
        await add(store, START, event)
    query = replace(QUERY, include_events=include, exclude_events=exclude)
    assert await names(source, query) == left
    assert await source.earliest(query) == (START if left else None)


async def test_batches_are_bounded_in_bytes(source: Source, store: Connection) -> None:
    await fill(store, 5000, 500)
    batches = [batch async for batch in source.read(QUERY)]
    assert sum(batch.num_rows for batch in batches) == 5000
    assert len(batches) >= 10
    assert max(batch.nbytes for batch in batches) <= BATCH_BYTES * 1.1


async def test_properties_of_a_megabyte_come_one_by_one(source: Source, store: Connection) -> None:
    await fill(store, 5, 1024 * 1024)
    batches = [batch async for batch in source.read(QUERY)]
    assert [batch.num_rows for batch in batches] == [1] * 5
    assert len(json.loads(batches[0].column("properties")[0].as_py())["text"]) == 1024 * 1024


async def test_reading_holds_a_batch_and_not_the_result(source: Source, store: Connection) -> None:
    """The whole result would take 150 MB."""
    await fill(store, 15_000, 10_000)
    process = psutil.Process()
    peak = rows = size = 0
    before = process.memory_info().rss
    async for batch in source.read(QUERY):
        rows += batch.num_rows
        size += batch.nbytes
        peak = max(peak, process.memory_info().rss - before)
    assert rows == 15_000
    assert size > 150_000_000
    assert peak < 40_000_000
