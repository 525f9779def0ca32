"""Hints on Redis: "there is work". The only module of the app that knows arq.

Nothing depends on a hint arriving: rows in Postgres are the truth, and every worker also looks there by itself.
"""

import asyncio
import json
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import structlog
from arq.connections import ArqRedis
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

from app.errors import SetupError
from app.settings import RedisSettings

CONTROL = "batch_exports:control"
"""What must be heard at once however many runs wait: ticks and backfills."""
RUNS = "batch_exports:runs"
WAKE = "wake"
ADVANCE = "advance"

log = structlog.get_logger(__name__)


def serialize(job: dict[str, Any]) -> bytes:
    """JSON, not pickle: a queue that outsiders can reach must not run their code, and versions must read each other."""
    return json.dumps(job, default=str).encode()


def deserialize(data: bytes) -> dict[str, Any]:
    job = json.loads(data)
    assert isinstance(job, dict)
    return job


def open_redis(settings: RedisSettings) -> ArqRedis:
    """A client that connects on first use, and gives up on a server that says nothing.

    Not by arq's own settings: these know no time-out for answers, so that a Redis that hangs, rather than being gone,
    would hang everybody; nor do they decode a password out of a URL.

    :raises SetupError: when the URL is none.
    """
    limit = settings.redis_connect_timeout.total_seconds()
    try:
        pool = ConnectionPool.from_url(
            settings.redis_url.get_secret_value(), socket_connect_timeout=limit, socket_timeout=limit
        )
    except ValueError:
        raise SetupError(
            "BATCH_EXPORTS_REDIS_URL is not a URL; it should look like redis://:password@host:6379/0"
        ) from None
    redis = ArqRedis(pool, job_serializer=serialize, job_deserializer=deserialize, default_queue_name=CONTROL)
    redis.auto_close_connection_pool = True
    return redis


class Queue:
    """Sends hints; a failure to send is logged and swallowed, for the work is found without it."""

    def __init__(self, settings: RedisSettings) -> None:
        self._redis = open_redis(settings)
        self._limit = settings.redis_connect_timeout.total_seconds()

    @property
    def address(self) -> str:
        """Where the server is, for people; without the password."""
        options = self._redis.connection_pool.connection_kwargs
        return str(options.get("path") or f"{options.get('host', 'localhost')}:{options.get('port', 6379)}")

    async def wake(self, run_id: UUID) -> None:
        """A run is ready to be claimed."""
        await self._send(RUNS, WAKE, str(run_id))

    async def advance(self, backfill_id: UUID) -> None:
        """A backfill may have a next window."""
        await self._send(CONTROL, ADVANCE, str(backfill_id))

    async def ping(self) -> None:
        """:raises redis.exceptions.RedisError: when Redis does not answer."""
        await self._redis.ping()

    async def _send(self, queue: str, job: str, identifier: str) -> None:
        try:
            # Each hint has an id of its own: arq silently drops a job whose id it has seen, and hints are cheap.
            job_id = f"{job}:{identifier}:{uuid4().hex}"
            async with asyncio.timeout(self._limit):
                await self._redis.enqueue_job(job, identifier, _job_id=job_id, _queue_name=queue)
        except (RedisError, OSError) as error:
            log.warning("hint not sent; workers will find the work by themselves", job=job, reason=type(error).__name__)

    async def aclose(self) -> None:
        with suppress(RedisError, OSError):
            await self._redis.aclose()
