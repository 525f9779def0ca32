"""How often one API key may ask. Counted on Redis, for all processes together; by each process alone while it is away.

The limit protects the service from a client that has gone wild; it is no promise worth refusing work for. So whatever
happens to Redis, requests go on, and a Redis that says nothing is asked by one of them at a time, now and then.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta

import structlog
from limits import RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import FixedWindowRateLimiter
from redis.asyncio import ConnectionPool
from redis.exceptions import RedisError

from app.errors import RateLimited
from app.settings import Settings

ANSWER_LIMIT = 0.25
"""Seconds that a request waits for Redis; enough for a first connection with TLS, and too few to be felt."""

REST = timedelta(seconds=15)
"""How long a Redis that did not answer is left alone."""

MINUTE = 60

log = structlog.get_logger(__name__)


class RateLimit:
    """Requests per caller and minute of the clock; what has no limit in the settings is not counted."""

    def __init__(self, settings: Settings, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._item = _per_minute(settings.rate_limit_per_minute)
        self._counts = _per_minute(settings.count_rows_per_minute)
        self._pool = ConnectionPool.from_url(
            settings.redis_url.get_secret_value(), socket_connect_timeout=ANSWER_LIMIT, socket_timeout=ANSWER_LIMIT
        )
        storage = RedisStorage(
            "redis://",
            implementation="redispy",
            key_prefix="batch_exports",
            connection_pool=self._pool,  # type: ignore[arg-type]  # handed on to the client, which takes it
        )
        self._shared = FixedWindowRateLimiter(storage)
        self._alone = FixedWindowRateLimiter(MemoryStorage())
        self._rests_until: datetime | None = None

    async def admit(self, caller: str) -> None:
        """:raises RateLimited: when this minute's requests are used up."""
        await self._admit(self._item, caller)

    async def admit_count(self, caller: str) -> None:
        """:raises RateLimited: when this minute's counts of rows are used up."""
        await self._admit(self._counts, f"count:{caller}")

    async def _admit(self, item: RateLimitItemPerMinute | None, caller: str) -> None:
        if item is None:
            return
        now = self._clock()
        seconds = int(now.timestamp())
        # The minute is part of what is counted, so neither a second question nor Redis's clock tells when it is over.
        if not await self._hit(item, caller, str(seconds // MINUTE), now):
            raise RateLimited(MINUTE - seconds % MINUTE)

    async def _hit(self, item: RateLimitItemPerMinute, caller: str, minute: str, now: datetime) -> bool:
        if self._rests_until is not None:
            if now < self._rests_until:
                return await self._alone.hit(item, caller, minute)
            # This request finds out for all; the others do not wait with it.
            self._rests_until = now + REST
        try:
            async with asyncio.timeout(ANSWER_LIMIT):
                admitted = await self._shared.hit(item, caller, minute)
        except (RedisError, OSError) as error:
            self._rests_until = now + REST
            log.warning("Redis does not answer; requests are counted by each process", reason=type(error).__name__)
            return await self._alone.hit(item, caller, minute)
        self._rests_until = None
        return admitted

    async def aclose(self) -> None:
        with suppress(RedisError, OSError):
            await self._pool.aclose()


def _per_minute(most: int) -> RateLimitItemPerMinute | None:
    return RateLimitItemPerMinute(most) if most else None
