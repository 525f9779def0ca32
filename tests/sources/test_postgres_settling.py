"""Waiting for late commits: for whoever may still commit rows of the window, and for nobody else."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Literal
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import asyncpg
import pytest

from app.errors import SourceUnavailable, Unsettled
from app.settings import Settings
from app.sources import open_source
from app.sources.base import EventQuery, Source
from app.sources.postgres.settling import Look
from tests.faults.late import busy_intake, clock_of, insert, looked, until, watch
from tests.sources.store import BATCH_BYTES, QUERY, Connection
from tests.worker.proxy import open_proxy

SOON = timedelta(seconds=0.3)
LONG = timedelta(seconds=20)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Look]:
    return watch(monkeypatch)


@pytest.fixture
async def late(settings: Settings) -> AsyncIterator[Connection]:
    """A connection for a transaction that stays open."""
    connection = await asyncpg.connect(settings.event_store_dsn, server_settings={"application_name": "late"})
    yield connection
    await connection.close()


@pytest.fixture
async def reader(settings: Settings, store: Connection) -> AsyncIterator[Source]:
    """A source whose user may read events, and see nothing of other users' sessions."""
    role = f"reader_{uuid4().hex}"
    await store.execute(
        f"CREATE ROLE {role} LOGIN PASSWORD 'sesame'; GRANT USAGE ON SCHEMA event_store TO {role}; "
        f"GRANT SELECT ON event_store.events TO {role}"
    )
    parts = urlsplit(settings.event_store_dsn)
    url = urlunsplit(parts._replace(netloc=f"{role}:sesame@{parts.netloc.rpartition('@')[2]}"))
    yield open_source(url, batch_bytes=BATCH_BYTES)
    await store.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def until_now(store: Connection) -> EventQuery:
    """The window of ingestion time that has ended this moment."""
    return replace(QUERY, select_by="ingested_at", end=await clock_of(store))


async def test_a_quiet_store_is_looked_at_once(source: Source, store: Connection, looks: list[Look]) -> None:
    await insert(store)
    await source.settle(await until_now(store), SOON)
    assert [look.writers for look in looks] == [{}]


async def test_windows_of_another_time_are_not_waited_for(
    source: Source, store: Connection, late: Connection, looks: list[Look]
) -> None:
    async with late.transaction():
        await insert(late)
        await source.settle(replace(await until_now(store), select_by="timestamp"), SOON)
    assert looks == []


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE event_store.events SET event = 'f' WHERE false",
        "DELETE FROM event_store.events WHERE false",
        "MERGE INTO event_store.events USING (SELECT 1) AS one ON false WHEN NOT MATCHED THEN DO NOTHING",
        "LOCK TABLE event_store.events IN ACCESS EXCLUSIVE MODE",
        "INSERT INTO event_store.events (uuid) SELECT uuid FROM event_store.events",
    ],
)
async def test_whoever_may_write_is_waited_for(
    source: Source, store: Connection, late: Connection, statement: str
) -> None:
    async with late.transaction():
        await late.execute(statement)
        with pytest.raises(Unsettled):
            await source.settle(await until_now(store), SOON)
    await source.settle(await until_now(store), SOON)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM event_store.events",
        "SELECT * FROM event_store.events FOR UPDATE",
        "ANALYZE event_store.events",
        "CREATE TABLE another (id int); INSERT INTO another VALUES (1)",
    ],
)
@pytest.mark.parametrize("isolation", ["read_committed", "serializable"])
async def test_a_long_transaction_that_does_not_write_events_delays_nothing(
    source: Source, store: Connection, late: Connection, looks: list[Look], statement: str, isolation: str
) -> None:
    await insert(store)
    async with late.transaction(isolation=isolation):
        await late.execute(statement)
        await source.settle(await until_now(store), SOON)
    assert len(looks) == 1


async def test_a_transaction_that_began_after_the_window_delays_nothing(
    source: Source, store: Connection, late: Connection, looks: list[Look]
) -> None:
    query = await until_now(store)
    async with late.transaction():
        await insert(late)
        await source.settle(query, SOON)
    assert len(looks) == 1


async def test_a_busy_intake_starves_nobody_though_not_even_its_times_can_be_seen(
    settings: Settings, reader: Source, store: Connection, looks: list[Look]
) -> None:
    async with busy_intake(settings.event_store_dsn):
        for _ in range(5):
            await reader.settle(await until_now(store), LONG)
            assert len(looks) >= 2
            assert all(look.writers for look in looks)
            looks.clear()


async def test_a_user_who_sees_no_sessions_waits_all_the_same(
    reader: Source, store: Connection, late: Connection, looks: list[Look]
) -> None:
    async with late.transaction():
        await insert(late)
        with pytest.raises(Unsettled, match="only a user with pg_read_all_stats may see"):
            await reader.settle(await until_now(store), SOON)
        settling = asyncio.create_task(reader.settle(await until_now(store), LONG))
        await looked(looks, 4)
        assert not settling.done()
    await settling


async def test_who_is_waited_for_too_long_is_named_and_not_what_it_does(
    settings: Settings, source: Source, store: Connection, late: Connection
) -> None:
    other = await asyncpg.connect(settings.event_store_dsn)
    async with late.transaction(), other.transaction():
        await insert(late)
        await insert(other)
        with pytest.raises(Unsettled) as raised:
            await source.settle(await until_now(store), SOON)
    await other.close()
    message = raised.value.message
    assert message.startswith("2 transactions that write to the event store at 127.0.0.1:")
    assert f"the oldest is that of pid {late.get_server_pid()}, application 'late', open since 2" in message
    assert "after 0.3 seconds of waiting" in message
    assert message.endswith("or set BATCH_EXPORTS_LATE_COMMIT_WAIT higher than such transactions take")
    assert "INSERT" not in message


async def test_a_store_whose_clock_is_behind_is_waited_for(
    source: Source, store: Connection, looks: list[Look]
) -> None:
    query = replace(await until_now(store), end=await clock_of(store) + timedelta(seconds=1))
    await source.settle(query, LONG)
    assert await clock_of(store) >= query.end
    assert len(looks) >= 2


async def test_a_store_whose_clock_is_far_behind_is_told(source: Source, store: Connection) -> None:
    query = replace(await until_now(store), end=await clock_of(store) + timedelta(hours=1))
    with pytest.raises(Unsettled, match="set the clocks of all machines right"):
        await source.settle(query, SOON)


async def test_who_comes_while_the_clock_is_behind_is_waited_for(
    source: Source, store: Connection, late: Connection, looks: list[Look]
) -> None:
    query = replace(await until_now(store), end=await clock_of(store) + timedelta(seconds=2))
    settling = asyncio.create_task(source.settle(query, LONG))
    await looked(looks)
    async with late.transaction():
        await insert(late)

        async def the_window_has_ended() -> bool:
            return looks[-1].at >= query.end

        await until(the_window_has_ended)
        assert not settling.done()
    await settling


INSERTS = {
    "persons": "INSERT INTO event_store.persons (team_id, id, version, properties, created_at) "
    "VALUES (7, gen_random_uuid(), 0, '{}', now())",
    "person_distinct_ids": "INSERT INTO event_store.person_distinct_ids (team_id, distinct_id, version, person_id) "
    "VALUES (7, 'a', 0, gen_random_uuid())",
    "events": "INSERT INTO event_store.events (team_id, uuid, event, distinct_id, properties, timestamp) "
    "VALUES (7, gen_random_uuid(), 'e', 'a', '{}', now())",
}


@pytest.mark.parametrize("table", INSERTS)
@pytest.mark.parametrize(
    ("model", "select_by", "tables"),
    [
        ("events", "ingested_at", {"events"}),
        ("persons", "ingested_at", {"persons", "person_distinct_ids"}),
        # They have no time of their own, by which they could be selected.
        ("persons", "timestamp", {"persons", "person_distinct_ids"}),
        ("sessions", "ingested_at", {"events"}),
        ("sessions", "timestamp", {"events"}),
    ],
)
async def test_whoever_writes_to_a_table_of_the_model_is_waited_for_and_nobody_else(
    source: Source,
    store: Connection,
    late: Connection,
    table: str,
    model: str,
    select_by: Literal["ingested_at", "timestamp"],
    tables: set[str],
) -> None:
    async def settle() -> None:
        await source.settle(replace(await until_now(store), model=model, select_by=select_by), SOON)

    async with late.transaction():
        await late.execute(INSERTS[table])
        if table in tables:
            with pytest.raises(Unsettled, match="1 transaction that writes"):
                await settle()
        else:
            await settle()
    await settle()


async def test_a_person_whose_transaction_commits_late_is_in_its_window(
    source: Source, store: Connection, late: Connection, looks: list[Look]
) -> None:
    async with late.transaction():
        for table in ("persons", "person_distinct_ids"):
            await late.execute(INSERTS[table].replace("gen_random_uuid()", "md5('a')::uuid"))
        query = replace(await until_now(store), model="persons")
        settling = asyncio.create_task(source.settle(query, LONG))
        await looked(looks, 2)
        assert await source.count(query) == 0
        assert not settling.done()
    await settling
    assert await source.count(query) == 1


PARTITIONED = """
CREATE TABLE event_store.many (LIKE event_store.events INCLUDING DEFAULTS) PARTITION BY LIST (team_id);
DROP TABLE event_store.events;
ALTER TABLE event_store.many RENAME TO events;
CREATE TABLE event_store.middle PARTITION OF event_store.events DEFAULT PARTITION BY LIST (event);
CREATE TABLE event_store.leaf PARTITION OF event_store.middle DEFAULT
"""
ADD_PARTITION = "CREATE TABLE event_store.new PARTITION OF event_store.events FOR VALUES IN (7)"


@pytest.mark.parametrize(("before", "table"), [("SELECT 1", "leaf"), ("SELECT 1", "events"), (ADD_PARTITION, "new")])
async def test_whoever_writes_to_a_partition_is_waited_for(
    source: Source, store: Connection, late: Connection, before: str, table: str
) -> None:
    await store.execute(PARTITIONED)
    async with late.transaction():
        await late.execute(before)
        await insert(late, table)
        with pytest.raises(Unsettled):
            await source.settle(await until_now(store), SOON)
    query = await until_now(store)
    await source.settle(query, SOON)
    assert await source.count(query) == 1


async def test_a_server_that_goes_away_meanwhile_is_unavailable(
    settings: Settings, store: Connection, late: Connection, looks: list[Look]
) -> None:
    parts = urlsplit(settings.event_store_dsn)
    assert parts.port is not None
    async with open_proxy(parts.port) as proxy, late.transaction():
        url = urlunsplit(parts._replace(netloc=f"{parts.netloc.rpartition(':')[0]}:{proxy.port}"))
        await insert(late)
        settling = asyncio.create_task(open_source(url, batch_bytes=BATCH_BYTES).settle(await until_now(store), LONG))
        await looked(looks)
        await proxy.cut()
        with pytest.raises(SourceUnavailable, match=f":{proxy.port} does not answer"):
            await settling
