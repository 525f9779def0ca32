"""A source on the test's own event store, and a connection beside it."""

import pytest

from app.settings import Settings
from app.sources import open_source
from app.sources.base import Source
from tests.sources.store import BATCH_BYTES


@pytest.fixture
def source(settings: Settings) -> Source:
    return open_source(settings.event_store_dsn, batch_bytes=BATCH_BYTES)
