"""Hints on Redis: "there is work". The only module of the app that knows arq.

Nothing depends on a hint arriving: rows in Postgres are the truth, and every worker also looks there by itself.
"""

import json
from contextlib import suppress
from typing import Any
from uuid import UUID, uuid4

import structlog
from arq.connections import ArqRedis, RedisSettings, create_pool
from redis.exceptions import RedisError

from app.settings import RedisSettings as Settings

QUEUE_NAME = "batch_exports:hints"
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


def redis_settings(settings: Settings) -> RedisSettings:
    redis = RedisSettings.from_dsn(settings.redis_url.get_secret_value())
    redis.conn_timeout = int(settings.redis_connect_timeout.total_seconds()) or 1
    redis.conn_retries = 0
    return redis


class Queue:
    """Sends hints; a failure to send is logged and swallowed, for the work is found without it."""

    def __init__(self, settings: Settings) -> None:
        self._settings = redis_settings(settings)
        self._redis: ArqRedis | None = None

    async def wake(self, run_id: UUID) -> None:
        """A run is ready to be claimed."""
        await self._send(WAKE, str(run_id))

    async def advance(self, backfill_id: UUID) -> None:
        """A backfill may have a next window."""
        await self._send(ADVANCE, str(backfill_id))

    async def ping(self) -> None:
        """:raises redis.exceptions.RedisError: when Redis does not answer."""
        await (await self._connect()).ping()

    async def _send(self, job: str, identifier: str) -> None:
        try:
            redis = await self._connect()
            # Each hint has an id of its own: arq silently drops a job whose id it has seen, and hints are cheap.
            await redis.enqueue_job(
                job, identifier, _job_id=f"{job}:{identifier}:{uuid4().hex}", _queue_name=QUEUE_NAME
            )
        except (RedisError, OSError) as error:
            log.warning("hint not sent; workers will find the work by themselves", job=job, reason=type(error).__name__)

    async def _connect(self) -> ArqRedis:
        if self._redis is None:
            self._redis = await create_pool(
                self._settings, job_serializer=serialize, job_deserializer=deserialize, default_queue_name=QUEUE_NAME
            )
        return self._redis

    async def aclose(self) -> None:
        if self._redis is not None:
            with suppress(RedisError, OSError):
                await self._redis.aclose()
