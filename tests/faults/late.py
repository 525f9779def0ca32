"""Writers whose transactions stay open, runs one after another, and what these looked at before they read."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from app.destinations.base import Unfenced
from app.embedded import Stack
from app.pipeline.deliver import deliver
from app.runtime import Runtime
from app.sources.postgres import source
from app.sources.postgres.settling import Look, settled
from tests.destinations.rows import read_file
from tests.factories import make_claim
from tests.worker.bucket import contents

TEAM = 7
Connection = Any
DEADLINE = 20.0
"""Seconds after which a test has failed rather than being slow."""

INSERT = (
    "INSERT INTO event_store.{table} (team_id, uuid, event, distinct_id, properties, timestamp) "
    "VALUES ($1, $2, 'e', 'user', '{{}}', clock_timestamp())"
)


async def insert(connection: Connection, table: str = "events") -> UUID:
    """One event that arrives now, if the connection's transaction is committed."""
    uuid = uuid4()
    await connection.execute(INSERT.format(table=table), TEAM, uuid)
    return uuid


async def clock_of(connection: Connection) -> datetime:
    moment = await connection.fetchval("SELECT clock_timestamp()")
    assert isinstance(moment, datetime)
    return moment


async def until(holds: Callable[[], Awaitable[Any]]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not await holds():
            await asyncio.sleep(0.01)


def watch(monkeypatch: pytest.MonkeyPatch) -> list[Look]:
    """All that sources see, in this test, when they look for open transactions."""
    seen: list[Look] = []

    async def watched(look: Callable[[], Awaitable[Look]], *arguments: Any) -> None:
        async def watched_look() -> Look:
            found = await look()
            seen.append(found)
            return found

        await settled(watched_look, *arguments)

    monkeypatch.setattr(source, "settled", watched)
    return seen


async def looked(looks: list[Look], times: int = 1) -> None:
    """Return once the event store has been looked at so often for open transactions."""

    async def enough() -> bool:
        return len(looks) >= times

    await until(enough)


class Runs:
    """Runs of consecutive windows, which export to JSON Lines."""

    def __init__(self, runtime: Runtime, stack: Stack, start: datetime) -> None:
        self.runtime = runtime
        self._stack = stack
        self._config = {**stack.s3, "prefix": f"late-{uuid4().hex}", "file_format": "JSONLines"}
        self._start = start

    def run(self, end: datetime) -> "asyncio.Task[Any]":
        """A run of the window that begins where the one before ended."""
        claim = make_claim(
            project_id=TEAM,
            destination_type="S3",
            destination_config=self.runtime.cipher.seal(self._config),
            start=self._start,
            end=end,
        )
        self._start = end
        return asyncio.create_task(deliver(self.runtime, claim, Unfenced()))

    async def exported(self) -> list[UUID]:
        files = (await contents(self._stack, self._config["prefix"])).values()
        return sorted(UUID(row["uuid"]) for data in files for row in read_file(data, "JSONLines", None))


@asynccontextmanager
async def busy_intake(dsn: str) -> AsyncIterator[list[UUID]]:
    """At every moment some transaction is open that has inserted: each is committed when the next one has.

    Afterwards all of what it gives is committed.
    """
    inserted: list[UUID] = []
    started, stop = asyncio.Event(), asyncio.Event()

    async def write() -> None:
        current, following = [await asyncpg.connect(dsn) for _ in range(2)]
        await current.execute("BEGIN")
        inserted.append(await insert(current))
        started.set()
        # Told to stop rather than cancelled: in the middle of a commit, that would leave open what became of it.
        while not stop.is_set():
            await following.execute("BEGIN")
            inserted.append(await insert(following))
            await current.execute("COMMIT")
            current, following = following, current
        await current.execute("COMMIT")
        for connection in (current, following):
            await connection.close()

    async with asyncio.TaskGroup() as group:
        group.create_task(write())
        await asyncio.wait_for(started.wait(), DEADLINE)
        try:
            yield inserted
        finally:
            stop.set()
