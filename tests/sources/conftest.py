"""A source on the test's own event store, and a connection beside it."""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from app.settings import Settings
from app.sources import open_source
from app.sources.base import Source
from tests.sources.store import BATCH_BYTES


@pytest.fixture
def source(settings: Settings) -> Source:
    return open_source(settings.event_store_dsn, batch_bytes=BATCH_BYTES)


@pytest.fixture
async def locked(settings: Settings) -> AsyncIterator[None]:
    """Whoever reads events waits, while the test goes on."""
    other = await asyncpg.connect(settings.event_store_dsn)
    async with other.transaction():
        await other.execute("LOCK TABLE event_store.events IN ACCESS EXCLUSIVE MODE")
        yield
    await other.close()
