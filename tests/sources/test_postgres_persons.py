"""The ``persons`` model: whose a distinct id was, and what was known of that person, at the end of any window."""

from dataclasses import replace
from datetime import timedelta
from itertools import count, pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from app.fingerprint import Fingerprint
from app.sources.base import EventQuery, Source
from app.sources.columns import PERSON_COLUMNS
from app.streams import is_json
from tests.factories import utc
from tests.sources import direct, model_rules
from tests.sources.model_rules import MappingVersion, PersonVersion
from tests.sources.people import ANNE, BERT, CORA, CREATED, add_mapping, add_person
from tests.sources.store import END, START, TEAM, Connection, read

PERSONS = EventQuery(TEAM, "persons", START, END, "ingested_at", PERSON_COLUMNS.names)
DAY = END - START
TICK = timedelta(microseconds=1)
BEFORE, NOON, AFTER = START - TICK, START + DAY / 2, END + TICK


async def rows(source: Source, query: EventQuery = PERSONS) -> list[dict[str, Any]]:
    """By distinct id. Whatever is counted is what is read."""
    found = (await read(source, query)).sort_by("distinct_id").to_pylist()
    assert await source.count(query) == len(found)
    assert (await source.fingerprint(query)).rows == len(found)
    return found


async def ids(source: Source, query: EventQuery = PERSONS) -> list[str]:
    return [row["distinct_id"] for row in await rows(source, query)]


async def test_a_row_comes_with_its_every_value(source: Source, store: Connection) -> None:
    properties = '{"b": 1,  "a": "\\u00e9 🦔", "big": 18446744073709551615}'
    created = utc(1969, 12, 31, 23, 59, 59, 999999)
    await add_person(store, ANNE, 3, NOON, properties=properties, created_at=created)
    await add_mapping(store, "naïve \\ 'id'\t🦔", 7, ANNE, NOON + TICK)
    table = await read(source, PERSONS)
    assert table.schema.equals(PERSON_COLUMNS, check_metadata=True)
    assert [field.name for field in table.schema if is_json(field)] == ["properties"]
    assert table.to_pylist() == [
        {
            "team_id": TEAM,
            "distinct_id": "naïve \\ 'id'\t🦔",
            "person_id": str(ANNE),
            "properties": properties,
            "person_distinct_id_version": 7,
            "person_version": 3,
            "created_at": created,
            "is_deleted": False,
            "_inserted_at": NOON + TICK,
        }
    ]


async def test_a_change_of_the_person_brings_all_its_distinct_ids(source: Source, store: Connection) -> None:
    for distinct_id in ("a", "b"):
        await add_mapping(store, distinct_id, 0, ANNE, BEFORE)
    await add_mapping(store, "c", 0, BERT, BEFORE)
    for person in (ANNE, BERT):
        await add_person(store, person, 0, BEFORE)
    assert await ids(source) == []
    await add_person(store, ANNE, 1, NOON, properties='{"new": 1}')
    assert [(row["distinct_id"], row["properties"]) for row in await rows(source)] == [
        ("a", '{"new": 1}'),
        ("b", '{"new": 1}'),
    ]


async def test_windows_are_half_open(source: Source, store: Connection) -> None:
    for distinct_id, moment in {"before": BEFORE, "first": START, "last": END - TICK, "after": END}.items():
        await add_mapping(store, distinct_id, 0, ANNE, moment)
    await add_person(store, ANNE, 0, BEFORE)
    assert await ids(source) == ["first", "last"]
    assert await ids(source, replace(PERSONS, start=None)) == ["before", "first", "last"]
    assert await ids(source, replace(PERSONS, start=END, end=START)) == []


async def test_persons_have_no_time_of_their_own(source: Source, store: Connection) -> None:
    """So backfills select by ingestion, too."""
    await add_person(store, ANNE, 0, NOON)
    await add_mapping(store, "a", 0, ANNE, NOON)
    by_timestamp = replace(PERSONS, select_by="timestamp")
    assert await rows(source, by_timestamp) == await rows(source) != []
    assert await source.earliest(by_timestamp) == NOON
    assert await ids(source, replace(by_timestamp, start=CREATED, end=CREATED + DAY)) == []


async def test_a_distinct_id_without_its_person_is_no_row_until_that_comes(source: Source, store: Connection) -> None:
    await add_mapping(store, "a", 0, ANNE, BEFORE)
    assert await ids(source, replace(PERSONS, start=None)) == []
    await add_person(store, ANNE, 0, NOON)
    assert await ids(source) == ["a"]


async def test_merging_moves_distinct_ids_and_deletes_none(source: Source, store: Connection) -> None:
    for distinct_id, person in {"a": ANNE, "b": BERT}.items():
        await add_person(store, person, 0, BEFORE)
        await add_mapping(store, distinct_id, 0, person, BEFORE)
    await add_person(store, ANNE, 1, NOON)
    await add_person(store, BERT, 100, NOON, is_deleted=True)
    await add_mapping(store, "b", 1, ANNE, NOON)
    assert [(row["distinct_id"], row["person_id"], row["is_deleted"]) for row in await rows(source)] == [
        ("a", str(ANNE), False),
        ("b", str(ANNE), False),
    ]


@pytest.mark.parametrize(("person", "mapping"), [(True, False), (False, True), (True, True)])
async def test_what_is_deleted_on_either_side_is_a_deleted_row(
    source: Source, store: Connection, person: bool, mapping: bool
) -> None:
    await add_person(store, ANNE, 0, NOON, is_deleted=person)
    await add_mapping(store, "a", 0, ANNE, NOON, is_deleted=mapping)
    assert [row["is_deleted"] for row in await rows(source)] == [True]


async def test_other_projects_stay_out(source: Source, store: Connection) -> None:
    other = TEAM + 1
    await add_person(store, ANNE, 0, NOON, team_id=other)
    await add_mapping(store, "a", 0, ANNE, NOON, team_id=other)
    await add_mapping(store, "b", 0, BERT, NOON)
    await add_person(store, BERT, 0, NOON, team_id=other)
    assert await ids(source) == []


async def test_an_empty_window_gives_no_rows(source: Source) -> None:
    assert await rows(source) == []
    assert await source.fingerprint(PERSONS) == Fingerprint()
    assert await source.earliest(PERSONS) is None


async def test_the_earliest_is_that_of_any_version_for_it_has_a_row_in_its_own_window(
    source: Source, store: Connection
) -> None:
    await add_person(store, ANNE, 0, BEFORE)
    await add_mapping(store, "a", 0, ANNE, BEFORE)
    for version in (1, 2):
        await add_person(store, ANNE, version, START + version * DAY / 4)
    assert await source.earliest(PERSONS) == START + DAY / 4
    await add_mapping(store, "a", 1, ANNE, START + DAY / 8)
    assert await source.earliest(PERSONS) == START + DAY / 8
    assert await source.earliest(replace(PERSONS, start=None)) == BEFORE


MOMENTS = st.integers(0, 11).map(lambda tick: START + tick * DAY / 12)
PEOPLE = st.lists(
    st.builds(
        PersonVersion,
        id=st.sampled_from([ANNE, BERT, CORA]),
        version=st.integers(0, 4),
        properties=st.integers(0, 99).map(lambda number: f'{{"n": {number}}}'),
        created_at=st.just(CREATED),
        is_deleted=st.booleans(),
        inserted_at=MOMENTS,
    ),
    unique_by=lambda one: (one.id, one.version),
    max_size=12,
)
MAPPINGS = st.lists(
    st.builds(
        MappingVersion,
        distinct_id=st.sampled_from(["a", "A", "b", "c"]),
        version=st.integers(0, 4),
        person=st.sampled_from([ANNE, BERT, CORA]),
        is_deleted=st.booleans(),
        inserted_at=MOMENTS,
    ),
    unique_by=lambda one: (one.distinct_id, one.version),
    max_size=12,
)
TEAMS = count(1000)


@examples(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(people=PEOPLE, mappings=MAPPINGS, windows=st.sampled_from([2, 3, 4]))
async def test_windows_follow_the_rules_whenever_they_are_read_and_sum_up_to_what_holds(
    store: Connection, people: list[PersonVersion], mappings: list[MappingVersion], windows: int
) -> None:
    team = next(TEAMS)
    cuts = [START + number * DAY / windows for number in range(windows + 1)]
    queries = [replace(PERSONS, project_id=team, start=start, end=end) for start, end in pairwise(cuts)]
    seen: list[list[dict[str, Any]]] = []
    newest: dict[str, dict[str, Any]] = {}
    for query in queries:
        await _arrive(store, team, people, mappings, query)
        found = await direct.rows(store, query)
        assert found == model_rules.persons(team, people, mappings, query.start, query.end)
        assert all(query.start <= row["_inserted_at"] < query.end for row in found if query.start is not None)
        seen.append(found)
        newest |= {row["distinct_id"]: row for row in found}
    assert [await direct.rows(store, query) for query in queries] == seen
    everything = replace(PERSONS, project_id=team, start=None)
    found = await direct.rows(store, everything)
    assert [newest[row["distinct_id"]] for row in found] == found
    # Whose person is not there is as it was, until it comes.
    assert newest.keys() - {row["distinct_id"] for row in found} <= _without_person(people, mappings)
    earliest = await direct.earliest(store, everything)
    assert all(earliest is not None and earliest <= row["_inserted_at"] for found in seen for row in found)


def _without_person(people: list[PersonVersion], mappings: list[MappingVersion]) -> set[str]:
    newest = {one.distinct_id: one.person for one in sorted(mappings, key=lambda one: one.version)}
    return {distinct_id for distinct_id, person in newest.items() if person not in {one.id for one in people}}


async def _arrive(
    store: Connection,
    team: int,
    people: list[PersonVersion],
    mappings: list[MappingVersion],
    query: EventQuery,
) -> None:
    """What comes in the window, and nothing that is later."""
    start = query.start or utc(1, 1, 1)
    for person in people:
        if start <= person.inserted_at < query.end:
            values = {"properties": person.properties, "is_deleted": person.is_deleted}
            await add_person(store, person.id, person.version, person.inserted_at, team_id=team, **values)
    for mapping in mappings:
        if start <= mapping.inserted_at < query.end:
            keys = (mapping.distinct_id, mapping.version, mapping.person, mapping.inserted_at)
            await add_mapping(store, *keys, team_id=team, is_deleted=mapping.is_deleted)


async def test_work_is_by_index_alone_and_by_what_has_changed(store: Connection) -> None:
    await store.execute(
        "INSERT INTO event_store.persons (team_id, id, version, properties, created_at, inserted_at) "
        "SELECT n % 2, md5(n::text)::uuid, 0, '{}', $1, $1::timestamptz + n * interval '1 minute' "
        "FROM generate_series(1, 20000) n",
        CREATED,
    )
    await store.execute(
        "INSERT INTO event_store.person_distinct_ids (team_id, distinct_id, version, person_id, inserted_at) "
        "SELECT team_id, id::text, 0, id, inserted_at FROM event_store.persons"
    )
    await store.execute("ANALYZE event_store.persons, event_store.person_distinct_ids")
    query = replace(PERSONS, project_id=1, start=CREATED, end=CREATED + timedelta(hours=2))
    for plan in await direct.plans(store, query):
        assert "Index" in plan
        assert "Seq Scan" not in plan, plan
