"""The three services together, on one data directory."""

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from app.crypto import new_key
from app.embedded.postgres import Postgres
from app.embedded.s3 import S3Server
from app.embedded.service import Service
from app.embedded.state import State, locked
from app.embedded.valkey import Valkey

WATCH_INTERVAL = 1.0
"""Seconds between looks at whether the services answer."""


class Stack:
    """Running services, and what others need to know of them."""

    def __init__(self, state: State, postgres: Postgres, valkey: Valkey, s3: S3Server) -> None:
        self.state = state
        self._postgres = postgres
        self._valkey = valkey
        self._s3 = s3

    @property
    def services(self) -> Sequence[Service]:
        return (self._postgres, self._valkey, self._s3)

    @property
    def database_url(self) -> str:
        return self._postgres.url

    @property
    def redis_url(self) -> str:
        return self._valkey.url

    @property
    def s3(self) -> dict[str, Any]:
        """Endpoint, bucket, region and credentials, under the names an S3 destination's config has."""
        return self._s3.config

    @property
    def env(self) -> dict[str, str]:
        """Every setting that another process needs to join this stack."""
        return {
            "BATCH_EXPORTS_DATABASE_URL": self.database_url,
            "BATCH_EXPORTS_REDIS_URL": self.redis_url,
            "BATCH_EXPORTS_ENCRYPTION_KEYS": str(self.state.remember("encryption_keys", new_key)),
            # The bucket of this stack, which is on the machine itself.
            "BATCH_EXPORTS_ALLOWED_PRIVATE_HOSTS": "127.0.0.1,localhost",
            # File downloads go into the same bucket, beside what exports write there.
            "BATCH_EXPORTS_DOWNLOAD_BUCKET_NAME": self.s3["bucket_name"],
            "BATCH_EXPORTS_DOWNLOAD_REGION": self.s3["region"],
            "BATCH_EXPORTS_DOWNLOAD_ENDPOINT_URL": self.s3["endpoint_url"],
            "BATCH_EXPORTS_DOWNLOAD_ACCESS_KEY_ID": self.s3["aws_access_key_id"],
            "BATCH_EXPORTS_DOWNLOAD_SECRET_ACCESS_KEY": self.s3["aws_secret_access_key"],
            # Jitter spreads the load of many exports; here somebody is waiting.
            "BATCH_EXPORTS_SCHEDULE_JITTER": "0",
        }

    async def watch(self) -> None:
        """Say on standard error when a service ends or comes back. The others are left alone."""
        answering = {service.name: True for service in self.services}
        while True:
            await asyncio.sleep(WATCH_INTERVAL)
            for service in self.services:
                now = await service.answers()
                if now != answering[service.name]:
                    answering[service.name] = now
                    what = "answers again" if now else "does not answer; the other services go on"
                    sys.stderr.write(f"{service.name} {what}\n")


@asynccontextmanager
async def open_stack(data_dir: Path, *, durable: bool = True) -> AsyncIterator[Stack]:
    """Start the services on ``data_dir`` and stop them at the end. What is in it is found again.

    Not ``durable``: faster, and lost when the machine crashes.

    :raises SetupError: when another stack runs on the directory, or a service does not start.
    """
    data_dir = data_dir.resolve()  # noqa: ASYNC240  once, before anything is served
    with locked(data_dir), closing(State(data_dir)) as state:
        # Whoever holds the lock is alone on the directory: what still serves there was left by a stack that was killed.
        await asyncio.gather(*(service.stop_stranger() for service in _services(data_dir, state, {}, durable)))
        ports = {name: state.port(name) for name in (Postgres.name, Valkey.name, S3Server.name)}
        stack = Stack(state, *_services(data_dir, state, ports, durable))
        try:
            try:
                async with asyncio.TaskGroup() as starting:
                    for service in stack.services:
                        starting.create_task(service.start())
            except* Exception as errors:
                raise errors.exceptions[0] from None
            yield stack
        finally:
            stopping = (service.stop() for service in stack.services)
            await asyncio.shield(asyncio.gather(*stopping, return_exceptions=True))


def _services(
    data_dir: Path, state: State, ports: Mapping[str, int], durable: bool
) -> tuple[Postgres, Valkey, S3Server]:
    def on(name: str) -> tuple[Path, int]:
        return data_dir / name, ports.get(name, 0)

    return (
        Postgres(*on(Postgres.name), state.secret("postgres_password"), durable=durable),
        Valkey(*on(Valkey.name), state.secret("valkey_password")),
        S3Server(*on(S3Server.name), state.secret("s3_access_key"), state.secret("s3_secret_key")),
    )
