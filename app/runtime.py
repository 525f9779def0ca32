"""The one composition root. The API's lifespan and the worker's start both enter :func:`open_runtime`."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime

from redis.exceptions import RedisError
from sqlalchemy.ext.asyncio import AsyncEngine

from app.clocks import utc_now
from app.crypto import Cipher
from app.db.engine import DATABASE_ERRORS, Sessions, create_engine, create_sessions, parse_url
from app.db.migrate import is_behind
from app.errors import SetupError
from app.queue import Queue
from app.ratelimit import RateLimit
from app.settings import Settings
from app.sources import open_source
from app.sources.base import Source


@dataclass(frozen=True, slots=True)
class Runtime:
    """What a process holds open."""

    settings: Settings
    engine: AsyncEngine
    sessions: Sessions
    cipher: Cipher
    queue: Queue
    source: Source
    rate_limit: RateLimit
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
    rate_limit = RateLimit(settings, clock)
    try:
        yield Runtime(settings, engine, create_sessions(engine), cipher, queue, source, rate_limit, clock)
    finally:
        await rate_limit.aclose()
        await source.aclose()
        await queue.aclose()
        await engine.dispose()


async def check_services(settings: Settings) -> None:
    """See that what a process needs is there when it starts. Later it copes with services that go away, but a wrong
    address should be told at once.

    :raises SetupError: in one line, naming the service that does not answer and where, never the password; or when the
        schema is not there, or a credential could not be read.
    """
    Cipher(settings.encryption_keys)
    await _check_database(settings, "BATCH_EXPORTS_DATABASE_URL")
    if settings.event_store_url is not None:
        await _check_database(
            settings.model_copy(update={"database_url": settings.event_store_url}), "BATCH_EXPORTS_EVENT_STORE_URL"
        )
    queue = Queue(settings)
    try:
        await queue.ping()
    except (RedisError, OSError) as error:
        raise SetupError(
            f"Redis at {queue.address} does not answer ({_cause(error)}); check BATCH_EXPORTS_REDIS_URL."
        ) from None
    finally:
        await queue.aclose()


async def _check_database(settings: Settings, variable: str) -> None:
    """``variable`` is where the URL came from."""
    parse_url(settings.database_url.get_secret_value(), variable)
    limit = settings.database_connect_timeout.total_seconds()
    engine = create_engine(settings, application_name="batch-exports check")
    url = engine.url
    try:
        async with asyncio.timeout(2 * limit), engine.connect() as connection:
            behind = await connection.run_sync(is_behind)
    except DATABASE_ERRORS as error:
        raise SetupError(
            f"The database '{url.database}' at {url.host}:{url.port or 5432} does not answer ({_cause(error)}); check "
            f"{variable}."
        ) from None
    finally:
        await engine.dispose()
    if behind:
        raise SetupError(f"The schema of database '{url.database}' is not up to date; run: batch-exports migrate")


def _cause(error: BaseException) -> str:
    """The innermost error's name: ``InvalidPasswordError``, ``ConnectionRefusedError``. Its text may hold anything."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    while (inner := error.__cause__ or getattr(error, "orig", None)) is not None:
        error = inner
    return type(error).__name__
