"""Persons in the store: versions that are only added, by any number of writers at once."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from msgspec import Raw

from app.events.store import connect
from app.intake.events import parse_event
from app.intake.incoming import Context, Incoming
from app.intake.persons import person_id_of
from app.intake.storing import IntakeStore
from app.settings import Settings
from tests.http.callers import Tenant
from tests.intake.sending import Connection, event, send, stored, wrong

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
NAMES = "abcde"
ANON = "$anon_distinct_id"

PERSONS = """
SELECT DISTINCT ON (id) id, version, properties, created_at, is_deleted, is_identified
FROM event_store.persons WHERE team_id = $1 ORDER BY id, version DESC
"""
OWNERS = """
SELECT DISTINCT ON (distinct_id) distinct_id, version, person_id, is_deleted
FROM event_store.person_distinct_ids WHERE team_id = $1 ORDER BY distinct_id, version DESC
"""


def incoming(project_id: int, document: dict[str, Any], minutes: int = 0) -> Incoming:
    context = Context(project_id, "phc_x", NOW + timedelta(minutes=minutes), None, 1_000_000)
    found, _ = parse_event(Raw(msgspec.json.encode(document)), context)
    assert found is not None
    return found


@asynccontextmanager
async def writing(settings: Settings) -> AsyncIterator[IntakeStore]:
    connection = await connect(settings.event_store_dsn, connect_timeout=10)
    try:
        yield IntakeStore(connection)
    finally:
        await connection.close()


async def test_versions_are_added_only_when_something_changed(
    sender: httpx.AsyncClient, store: Connection, tenant: Tenant, token: str
) -> None:
    for properties in ({"$set": {"n": 1}}, {}, {"$set": {"n": 1}}, {"$set": {"n": 2}}, {"$set_once": {"n": 3}}):
        await send(sender, token, event(distinct_id="a", properties=properties))
    rows = await store.fetch("SELECT version, properties FROM event_store.persons ORDER BY version")
    assert [tuple(row) for row in rows] == [(0, '{"n":1}'), (1, '{"n":2}')]
    [owner] = await store.fetch("SELECT * FROM event_store.person_distinct_ids")
    assert (owner["version"], owner["person_id"]) == (0, person_id_of(tenant.project_id, "a"))
    assert set(await stored(store, "person_id")) == {person_id_of(tenant.project_id, "a")}


async def test_a_merge_is_a_new_version_of_both_and_of_every_distinct_id(
    sender: httpx.AsyncClient, store: Connection, tenant: Tenant, token: str
) -> None:
    await send(sender, token, event(distinct_id="a", properties={"$set": {"n": "a", "m": "a"}}))
    await send(sender, token, event("$create_alias", "a", properties={"alias": "a2"}))
    await send(sender, token, event(distinct_id="b", properties={"$set": {"n": "b"}}))
    await send(sender, token, event("$merge_dangerously", "b", properties={"alias": "a2"}))
    before, after = (person_id_of(tenant.project_id, name) for name in "ab")
    persons = {row["id"]: row for row in await store.fetch(PERSONS, tenant.project_id)}
    assert (persons[before]["version"], persons[before]["is_deleted"]) == (2, True)
    assert (persons[after]["version"], persons[after]["is_deleted"]) == (1, False)
    assert json.loads(persons[after]["properties"]) == {"n": "b", "m": "a"}
    owners = await store.fetch(OWNERS, tenant.project_id)
    assert [(row["distinct_id"], row["version"], row["person_id"]) for row in owners] == [
        ("a", 1, after),
        ("a2", 1, after),
        ("b", 0, after),
    ]


async def test_a_refused_merge_is_told_and_its_event_is_stored(
    sender: httpx.AsyncClient, store: Connection, token: str
) -> None:
    await send(sender, token, event("$identify", "b", properties={ANON: "a"}), event("e", "c"))
    again = event("$identify", "c", properties={ANON: "a"})
    await send(sender, token, again, event("$create_alias", "c", properties={"alias": "null"}))
    await send(sender, token, again)
    assert await wrong(store) == [
        ("cannot_merge_already_identified", True, "$identify"),
        ("cannot_merge_with_illegal_distinct_id", True, "$create_alias"),
    ]
    assert len(await stored(store)) == 4


async def test_of_a_personless_event_nothing_but_the_event_is_stored(
    sender: httpx.AsyncClient, store: Connection, tenant: Tenant, token: str
) -> None:
    await send(sender, token, event(distinct_id="a", properties={"$process_person_profile": False}))
    assert await stored(store, "person_id, person_properties") == [(person_id_of(tenant.project_id, "a"), None)]
    assert await store.fetch(PERSONS, tenant.project_id) == []


async def test_persons_of_two_projects_are_two(settings: Settings, store: Connection) -> None:
    async with writing(settings) as writer:
        events = [incoming(project, event(properties={"$set": {"p": project}})) for project in (1, 2, 65)]
        assert (await writer.write(events, ())).new == 3
    for project in (1, 2, 65):
        [person] = await store.fetch(PERSONS, project)
        assert json.loads(person["properties"]) == {"p": project}


@pytest.mark.parametrize("seed", range(3))
async def test_of_several_writers_at_once_none_is_stuck_and_no_change_is_lost(
    settings: Settings, store: Connection, seed: int
) -> None:
    """Each event sets a property of its own, of one of few persons who are being merged all the while."""
    chance, numbers = random.Random(seed), count()
    people = [f"p{number}" for number in range(8)]

    def some() -> list[dict[str, Any]]:
        batch = []
        for _ in range(chance.randrange(1, 12)):
            name, number = chance.choice(people), next(numbers)
            properties: dict[str, Any] = {"$set": {f"k{number}": number}}
            if chance.random() < 0.2:
                batch.append(
                    event("$merge_dangerously", name, properties={**properties, "alias": chance.choice(people)})
                )
            else:
                batch.append(event("e", name, properties=properties))
        return batch

    async with writing(settings) as one, writing(settings) as two, writing(settings) as three:
        for _ in range(25):
            batches = [[incoming(7, document) for document in some()] for _ in range(3)]
            written = await asyncio.gather(
                *(writer.write(batch, ()) for writer, batch in zip((one, two, three), batches, strict=True))
            )
            assert [found.new for found in written] == [len(batch) for batch in batches]
    alive = [row for row in await store.fetch(PERSONS, 7) if not row["is_deleted"]]
    kept: dict[str, int] = {}
    for row in alive:
        kept |= json.loads(row["properties"])
    # A merge lets go of nothing, for no key is anybody else's.
    assert kept == {f"k{number}": number for number in range(next(numbers))}
    owners = await store.fetch(OWNERS, 7)
    assert {row["person_id"] for row in owners} == {row["id"] for row in alive}
    for table, key in (("persons", "id"), ("person_distinct_ids", "distinct_id")):
        gaps = f"SELECT count(*) <> max(version) + 1 AS gap FROM event_store.{table} GROUP BY {key}"
        assert not any(row["gap"] for row in await store.fetch(gaps))


async def test_a_writer_that_was_overtaken_begins_again(settings: Settings, store: Connection) -> None:
    """Two have read the same version; the second one finds the next already there."""
    async with writing(settings) as writer:
        await writer.write([incoming(7, event("e", "a", properties={"$set": {"first": 1}}))], ())
        transaction = store.transaction()
        await transaction.start()
        # As another process of ours does it.
        await store.execute("SELECT pg_advisory_xact_lock_shared($1, 7)", 0x70656F70)
        await store.execute(
            "INSERT INTO event_store.persons (team_id, id, version, properties, created_at) "
            'SELECT team_id, id, 1, \'{"first":1,"second":2}\', created_at FROM event_store.persons'
        )
        late = asyncio.create_task(writer.write([incoming(7, event("e", "a", properties={"$set": {"third": 3}}))], ()))
        async with asyncio.timeout(20):
            while not await store.fetchval("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"):
                await asyncio.sleep(0.01)
        await transaction.commit()
        assert (await late).new == 1
    [person] = await store.fetch(PERSONS, 7)
    assert (person["version"], json.loads(person["properties"])) == (2, {"first": 1, "second": 2, "third": 3})


names = st.sampled_from(NAMES)
values = st.dictionaries(st.sampled_from("xyz"), st.integers(0, 2), max_size=2)
said = st.fixed_dictionaries(
    {}, optional={"$set": values, "$set_once": values, "$unset": st.lists(st.sampled_from("xyz"), max_size=2)}
)
documents = st.one_of(
    st.builds(lambda name, extra: event("e", name, properties=extra), names, said),
    st.builds(
        lambda name, other, extra: event("$identify", name, properties={**extra, ANON: other}), names, names, said
    ),
    st.builds(
        lambda kind, name, other, extra: event(kind, name, properties={**extra, "alias": other}),
        st.sampled_from(["$create_alias", "$merge_dangerously"]),
        names,
        names,
        said,
    ),
    st.builds(lambda name: event("e", name, properties={"$process_person_profile": False}), names),
)
projects = count(1000)


async def outcome(store: Connection, project_id: int, uuids: Sequence[str]) -> Any:
    """All that is known in the end, with persons called by the distinct id that their own id follows from."""
    called = {person_id_of(project_id, name): name for name in NAMES}
    persons = {
        called[row["id"]]: (json.loads(row["properties"]), row["created_at"], row["is_deleted"], row["is_identified"])
        for row in await store.fetch(PERSONS, project_id)
    }
    owners = {row["distinct_id"]: called[row["person_id"]] for row in await store.fetch(OWNERS, project_id)}
    rows = await store.fetch(
        "SELECT uuid, person_id, person_properties FROM event_store.events WHERE team_id = $1", project_id
    )
    found = {str(row["uuid"]): (called[row["person_id"]], row["person_properties"]) for row in rows}
    codes = await store.fetch(
        "SELECT code, event_uuid FROM event_store.ingestion_errors WHERE team_id = $1", project_id
    )
    return persons, owners, [found[uuid] for uuid in uuids], sorted(map(tuple, codes))


@given(told=st.lists(st.lists(documents, min_size=1, max_size=6), min_size=1, max_size=5))
@hypothesis_settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
async def test_however_events_are_batched_the_persons_are_those_of_one_by_one(
    settings: Settings, store: Connection, told: list[list[dict[str, Any]]]
) -> None:
    together, alone = next(projects), next(projects)
    events = [document for batch in told for document in batch]
    moments = {document["uuid"]: minutes for minutes, document in enumerate(events)}
    uuids = [document["uuid"] for document in events]

    def taken(project_id: int, batch: Sequence[dict[str, Any]]) -> list[Incoming]:
        return [incoming(project_id, document, moments[document["uuid"]]) for document in batch]

    async with writing(settings) as writer:
        for batch in told:
            await writer.write(taken(together, batch), ())
        for document in events:
            await writer.write(taken(alone, [document]), ())
        expected = await outcome(store, alone, uuids)
        assert await outcome(store, together, uuids) == expected
        # And all of it once more: nothing is new.
        assert (await writer.write(taken(together, events), ())).new == 0
        assert await outcome(store, together, uuids) == expected
