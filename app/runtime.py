"""The one composition root. The API's lifespan and the worker's start both enter :func:`open_runtime`."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from app.crypto import Cipher
from app.db.engine import Sessions, create_engine, create_sessions
from app.queue import Queue
from app.settings import Settings
from app.sources import open_source
from app.sources.base import Source


def utc_now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a process holds open."""

    settings: Settings
    engine: AsyncEngine
    sessions: Sessions
    cipher: Cipher
    queue: Queue
    source: Source
    clock: Callable[[], datetime]


@asynccontextmanager
async def open_runtime(
    settings: Settings, *, application_name: str, clock: Callable[[], datetime] = utc_now
) -> AsyncIterator[Runtime]:
    """Connects lazily: a database that is down now is no error here.

    :raises app.errors.SetupError: when a setting is missing or malformed.
    """
    cipher = Cipher(settings.encryption_keys)
    engine = create_engine(settings, application_name=application_name)
    queue = Queue(settings)
    source = open_source(settings.event_store_dsn, batch_bytes=settings.batch_bytes)
    try:
        yield Runtime(settings, engine, create_sessions(engine), cipher, queue, source, clock)
    finally:
        await source.aclose()
        await queue.aclose()
        await engine.dispose()
