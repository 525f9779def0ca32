"""The S3 server through a proxy that fails for a while, and the services that are restarted, frozen and emptied."""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

import asyncpg

from app.queue import open_redis
from tests.destinations.s3_proxy import Fate, Reply, Request, S3Proxy, Verdict, error
from tests.faults.stacks import Own

Trouble = Callable[[], Awaitable[None]]

SHARE: Final = 0.4
"""Of the requests that fail while S3 is in trouble."""
TERMINATED: Final = ("batch-exports source", "batch-exports worker")
"""Sessions that are ended by Postgres, by their application's name."""
IMMEDIATE: Final = signal.SIGQUIT
"""As a crash: Postgres comes back from its log."""


class S3Weather:
    """What becomes of requests to S3 at the moment."""

    def __init__(self, proxy: S3Proxy, chance: random.Random) -> None:
        self._proxy = proxy
        self._chance = chance
        self._verdict: Verdict = None
        self._slow = 0.0
        proxy.judge = self._judge

    def failing(self, verdict: Verdict) -> Trouble:
        async def trouble() -> None:
            self._verdict = verdict
            await asyncio.sleep(self._chance.uniform(3, 8))
            self._verdict = None

        return trouble

    async def slow(self) -> None:
        self._slow = 2.0
        await asyncio.sleep(self._chance.uniform(3, 8))
        self._slow = 0.0

    async def _judge(self, _: Request) -> Verdict:
        self._proxy.seen.clear()  # bodies and all: in a soak there are too many of them
        if self._slow:
            await asyncio.sleep(self._chance.uniform(0, self._slow))
        return self._verdict if self._chance.random() < SHARE else None

    def kinds(self) -> Mapping[str, Trouble]:
        verdicts: dict[str, Reply | Fate] = {
            "S3 answers 500": error(500, "InternalError"),
            "S3 answers 503": error(503, "SlowDown"),
            "S3 answers 429": error(429, "TooManyRequests"),
            "S3 resets connections": Fate.DROP_REQUEST,
            "S3's answers are lost": Fate.DROP_ANSWER,
        }
        return {**{name: self.failing(verdict) for name, verdict in verdicts.items()}, "S3 is slow": self.slow}


class Services:
    """The soak's own Postgres, Valkey and S3."""

    def __init__(self, own: Own, chance: random.Random) -> None:
        self._own = own
        self._chance = chance

    async def restart_postgres(self) -> None:
        await self._own.restart("postgres", signal.SIGINT)

    async def crash_postgres(self) -> None:
        await self._own.restart("postgres", IMMEDIATE)

    async def end_sessions(self) -> None:
        url = self._own.runtime.settings.event_store_dsn
        connection = await asyncpg.connect(url, ssl=False, timeout=5)
        try:
            query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = ANY($1)"
            await connection.execute(f"{query} AND random() < 0.7", TERMINATED)
        finally:
            await connection.close()

    async def restart_s3(self) -> None:
        await self._own.restart("s3", signal.SIGTERM)

    async def restart_valkey(self) -> None:
        """Ended, away for a while, and started with what it had written down."""
        valkey = self._own.service("valkey")
        await valkey.stop()
        await asyncio.sleep(self._chance.uniform(0, 5))
        await valkey.start()

    async def freeze_valkey(self) -> None:
        pid = self._own.service("valkey").pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(self._chance.uniform(2, 8))
        finally:
            os.kill(pid, signal.SIGCONT)

    async def empty_valkey(self) -> None:
        redis = open_redis(self._own.runtime.settings)
        try:
            await redis.flushall()
        finally:
            await redis.aclose()
