"""How reading Postgres ends, well or badly: told for what it is, and nothing left running at the server."""

import asyncio
import os
import signal
from dataclasses import replace
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

import pytest
from structlog.testing import capture_logs

from app.embedded.state import LOOPBACK, free_port
from app.errors import Defect, Misconfigured, SetupError, SourceUnavailable
from app.settings import Settings
from app.sources import open_source
from app.sources.base import Source
from app.sources.postgres import reading
from tests.sources.store import (
    BATCH_BYTES,
    QUERY,
    START,
    Connection,
    add,
    fill,
    none_left,
    queries,
    read,
)


async def test_nothing_is_left_at_the_server_after_the_last_row(source: Source, store: Connection) -> None:
    await add(store, START)
    await read(source, replace(QUERY, include_events=["e"]))
    await source.count(QUERY)
    assert await none_left(store)


async def test_closing_early_ends_the_query_at_the_server(source: Source, store: Connection) -> None:
    await fill(store, 20_000, 1000)
    batches = source.read(QUERY)
    await anext(batches)
    assert [query for query in await queries(store) if query.startswith("COPY")]
    await batches.aclose()
    assert await none_left(store)


@pytest.mark.usefixtures("locked")
@pytest.mark.parametrize("times", [1, 3])
async def test_cancelling_ends_a_query_that_is_waiting(source: Source, store: Connection, times: int) -> None:
    """Before its first row: the query waits for a lock, and its thread for the query."""
    task = asyncio.create_task(read(source))
    async with asyncio.timeout(20):
        while not [query for query in await queries(store) if "event_store" in query]:
            await asyncio.sleep(0.01)
    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await none_left(store)


@pytest.mark.usefixtures("locked")
async def test_a_query_that_hangs_at_the_server_holds_up_nobody(
    source: Source, store: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process stands still, as one does whose disk does not answer. Once it goes on, the query ends."""
    monkeypatch.setattr(reading, "CLOSE_LIMIT", 0.1)
    task = asyncio.create_task(read(source))
    async with asyncio.timeout(20):
        while not [query for query in await queries(store) if "event_store" in query]:
            await asyncio.sleep(0.01)
    pid = await store.fetchval(
        "SELECT pid FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'batch-exports source'"
    )
    os.kill(pid, signal.SIGSTOP)
    try:
        task.cancel()
        with capture_logs() as told, pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(task), 20)
        assert "is left to itself" in told[0]["event"]
    finally:
        os.kill(pid, signal.SIGCONT)
    assert await none_left(store)


async def test_cancelling_while_it_connects_leaves_nothing(source: Source, store: Connection) -> None:
    task = asyncio.create_task(read(source))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await none_left(store)


async def test_a_server_that_goes_away_half_way_is_unavailable(source: Source, store: Connection) -> None:
    await fill(store, 20_000, 1000)
    batches = source.read(QUERY)
    await anext(batches)
    await store.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'batch-exports source'"
    )
    with pytest.raises(SourceUnavailable, match="went away"):
        [batch async for batch in batches]
    assert await none_left(store)


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    port = free_port()
    source = open_source(f"postgresql://someone:sesame@{LOOPBACK}:{port}/db", batch_bytes=BATCH_BYTES)
    with pytest.raises(SourceUnavailable, match=f"the event store at {LOOPBACK}:{port}") as raised:
        await read(source)
    assert "sesame" not in str(raised.value)


@pytest.mark.parametrize(
    ("user", "database"), [("postgres:sesame", None), ("nobody_here:sesame", None), (None, "/no_such_database")]
)
async def test_access_that_is_refused_is_a_misconfiguration_and_no_secret_is_told(
    settings: Settings, user: str | None, database: str | None
) -> None:
    parts = urlsplit(settings.event_store_dsn)
    given, _, address = parts.netloc.rpartition("@")
    url = urlunsplit(parts._replace(netloc=f"{user or given}@{address}", path=database or parts.path))
    source = open_source(url, batch_bytes=BATCH_BYTES)
    for attempt in (read(source), source.count(QUERY), source.earliest(QUERY)):
        with pytest.raises(Misconfigured, match=f"the event store at {address} refuses access") as raised:
            await attempt
        for secret in ("sesame", parts.password or ""):
            assert secret not in str(raised.value)


async def test_a_user_without_the_right_to_read_is_a_misconfiguration(settings: Settings, store: Connection) -> None:
    role = f"reader_{uuid4().hex}"
    await store.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'sesame'")
    try:
        parts = urlsplit(settings.event_store_dsn)
        url = urlunsplit(parts._replace(netloc=f"{role}:sesame@{parts.netloc.rpartition('@')[2]}"))
        with pytest.raises(Misconfigured, match="42501"):
            await read(open_source(url, batch_bytes=BATCH_BYTES))
    finally:
        await store.execute(f"DROP ROLE {role}")


async def test_a_store_without_its_table_says_so(source: Source, store: Connection) -> None:
    await store.execute("DROP TABLE event_store.events")
    with pytest.raises(Defect, match="42P01"):
        await read(source)
    assert await none_left(store)


def test_an_event_store_of_an_unknown_kind_is_refused() -> None:
    with pytest.raises(SetupError, match="mysql"):
        open_source("mysql://localhost/db", batch_bytes=BATCH_BYTES)


async def test_options_of_the_url_are_kept(settings: Settings, store: Connection) -> None:
    await add(store, START)
    url = f"{settings.event_store_dsn}?application_name=mine&options=-c%20work_mem%3D1MB"
    source = open_source(url, batch_bytes=BATCH_BYTES)
    batches = source.read(QUERY)
    await anext(batches)
    await batches.aclose()
    assert (await read(source)).num_rows == 1
