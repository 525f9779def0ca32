"""Late commits at servers that are set up otherwise: with two-phase commits, and as a read replica."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import asyncpg
import pytest

from app.db.migrate import upgrade
from app.embedded import postgres
from app.embedded.postgres import Postgres
from app.embedded.state import free_port
from app.errors import Misconfigured, Unsettled
from app.sources import open_source
from app.sources.base import EventQuery, Source
from tests.faults.late import clock_of, insert, looked, watch
from tests.sources.store import BATCH_BYTES, QUERY, Connection

SOON = timedelta(seconds=0.3)
LONG = timedelta(seconds=20)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Postgres]:
    """A server of the test's own, with the service's tables."""
    monkeypatch.setitem(postgres.SETTINGS, "max_prepared_transactions", "10")
    monkeypatch.setitem(postgres.SETTINGS, "shared_buffers", "16MB")
    # Not below pytest's own, which the next session closes to other users; root's Postgres runs as one.
    with tempfile.TemporaryDirectory(prefix="batch-exports-tests-") as directory:
        server = Postgres(Path(directory) / "postgres", free_port(), "sesame", durable=False)
        await server.start()
        try:
            await upgrade(server.url)
            yield server
        finally:
            await server.stop()


def dsn(server: Postgres) -> str:
    return server.url.replace("+asyncpg", "")


@pytest.fixture
def source(server: Postgres) -> Source:
    return open_source(dsn(server), batch_bytes=BATCH_BYTES)


async def until_now(connection: Connection) -> EventQuery:
    """The window of ingestion time that has ended this moment."""
    return replace(QUERY, select_by="ingested_at", end=await clock_of(connection))


async def test_a_transaction_that_is_prepared_is_waited_for(
    server: Postgres, source: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = watch(monkeypatch)
    writer, other = await asyncpg.connect(dsn(server)), await asyncpg.connect(dsn(server))
    await writer.execute("BEGIN")
    await insert(writer)
    query = await until_now(other)
    settling = asyncio.create_task(source.settle(query, LONG))
    await looked(looks)
    # From now on it is no session's, and even the end of its session does not end it.
    await writer.execute("PREPARE TRANSACTION 'late'")
    await writer.close()
    await looked(looks, 4)
    assert not settling.done()
    with pytest.raises(Unsettled, match="prepared for a two-phase commit; pg_prepared_xacts"):
        await source.settle(query, SOON)
    await other.execute("COMMIT PREPARED 'late'")
    await settling
    assert await source.count(query) == 1
    await other.close()


async def test_a_read_replica_is_a_misconfiguration(server: Postgres, source: Source) -> None:
    """It is one, though it has no primary: it cannot see who writes there."""
    query = replace(QUERY, select_by="ingested_at")
    await source.settle(query, SOON)
    await server.stop()
    (server.directory / "standby.signal").touch()
    await server.start()
    with pytest.raises(Misconfigured, match="BATCH_EXPORTS_EVENT_STORE_URL point to the primary"):
        await source.settle(query, SOON)
    assert await source.count(query) == 0
