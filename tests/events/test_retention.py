"""The event store's retention: what goes, what stays, and who is kept waiting."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from app.embedded.state import free_port
from app.errors import StoreUnavailable
from app.events import retention
from app.events.retention import Pruned, prune
from app.settings import Settings
from tests.factories import utc

BEFORE = utc(2026, 3, 1)
MOMENT = timedelta(microseconds=1)
Store = Any


async def add_event(store: Store, team: int, came: datetime) -> UUID:
    uuid = uuid4()
    await store.execute(
        "INSERT INTO event_store.events (team_id, uuid, event, distinct_id, properties, timestamp, inserted_at) "
        "VALUES ($1, $2, 'e', 'user', '{}', $3, $3)",
        team,
        uuid,
        came,
    )
    return uuid


async def kept(store: Store) -> set[UUID]:
    return {row["uuid"] for row in await store.fetch("SELECT uuid FROM event_store.events")}


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "BATCH_ROWS", 2)


@pytest.mark.usefixtures("small_batches")
async def test_events_that_came_before_go_whatever_their_project(settings: Settings, store: Store) -> None:
    for team in (1, 3, 7):
        for day in range(5):
            await add_event(store, team, BEFORE - timedelta(days=day) - MOMENT)
    left = {await add_event(store, team, BEFORE) for team in (3, 7, 9)}
    progress: list[int] = []
    pruned = await prune(settings.event_store_dsn, BEFORE, lambda so_far: progress.append(so_far.events))
    assert pruned == Pruned(events=15)
    assert await kept(store) == left
    assert progress[:3] == [2, 4, 5]
    assert await store.fetchval("SELECT pruned_before FROM event_store.retention") == BEFORE


async def test_versions_that_hold_at_the_beginning_of_what_is_kept_stay(settings: Settings, store: Store) -> None:
    person, other = uuid4(), uuid4()
    for key, version, came in (
        (person, 0, BEFORE - timedelta(days=3)),
        (person, 1, BEFORE - timedelta(days=2)),  # holds until the next one, which is after
        (person, 2, BEFORE),
        (other, 0, BEFORE - timedelta(days=9)),  # holds still
    ):
        await store.execute(
            "INSERT INTO event_store.persons (team_id, id, version, properties, created_at, inserted_at) "
            "VALUES (7, $1, $2, '{}', $3, $3)",
            key,
            version,
            came,
        )
        await store.execute(
            "INSERT INTO event_store.person_distinct_ids (team_id, distinct_id, version, person_id, inserted_at) "
            "VALUES (7, $1::uuid::text, $2, $1, $3)",
            key,
            version,
            came,
        )
    assert await prune(settings.event_store_dsn, BEFORE) == Pruned(person_versions=1, distinct_id_versions=1)
    for table, column in (("persons", "id::text"), ("person_distinct_ids", "distinct_id")):
        rows = await store.fetch(f"SELECT {column} AS key, version FROM event_store.{table}")
        assert {(row["key"], row["version"]) for row in rows} == {(str(person), 1), (str(person), 2), (str(other), 0)}


async def test_what_was_refused_at_intake_goes_as_well(settings: Settings, store: Store) -> None:
    for came in (BEFORE - MOMENT, BEFORE):
        await store.execute(
            "INSERT INTO event_store.ingestion_errors (team_id, code, detail, created_at) VALUES (7, 'c', 'd', $1)",
            came,
        )
    assert await prune(settings.event_store_dsn, BEFORE) == Pruned(ingestion_errors=1)


async def test_from_when_on_the_store_is_whole_never_moves_back(settings: Settings, store: Store) -> None:
    await prune(settings.event_store_dsn, BEFORE)
    await prune(settings.event_store_dsn, BEFORE - timedelta(days=1))
    assert await store.fetchval("SELECT pruned_before FROM event_store.retention") == BEFORE


async def test_two_at_once_are_one_too_many(settings: Settings, store: Store) -> None:
    uuid = await add_event(store, 7, BEFORE - MOMENT)
    await store.execute("SELECT pg_advisory_lock($1)", retention.LOCK)
    assert await prune(settings.event_store_dsn, BEFORE) is None
    assert await kept(store) == {uuid}


async def test_intake_goes_on_while_events_are_deleted(settings: Settings, store: Store) -> None:
    await add_event(store, 7, BEFORE - MOMENT)
    other = await asyncpg.connect(settings.event_store_dsn)
    try:
        async with other.transaction():
            await other.execute(retention._TABLES["events"].delete(), 7, BEFORE, 100)
            await store.execute("SET lock_timeout = '5s'")
            new = await add_event(store, 7, BEFORE)
    finally:
        await other.close()
    assert await kept(store) == {new}


async def test_a_store_that_is_away_is_told() -> None:
    with pytest.raises(StoreUnavailable, match="went away"):
        await prune(f"postgresql://postgres@127.0.0.1:{free_port()}/nowhere", BEFORE)
