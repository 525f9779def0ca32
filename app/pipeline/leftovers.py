"""Deleting what ended runs have left at their destinations, by any worker, at leisure."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import structlog
from sqlalchemy.exc import IntegrityError

from app.errors import RunError
from app.logs import lines
from app.logs.lines import Level, Line, Log, NoLog
from app.pipeline.opening import open_destination
from app.repeating import repeating
from app.runs.leftovers import LeftoverRepository, Leftovers
from app.runtime import Runtime
from app.timeouts import insisting

AGAIN_AFTER: Final = timedelta(minutes=10)
"""When a destination is asked once more that could not be cleaned up."""
DATABASE_LIMIT: Final = 10.0
"""Seconds after which a database that says nothing does not answer."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Sweeper:
    """Works in the name of one worker process."""

    runtime: Runtime
    owner: str
    logs: Log = field(default_factory=NoLog)

    async def sweep(self) -> bool:
        """Clean up after one run; whether there was one."""
        left = await self._claim()
        if left is None:
            return False
        try:
            # Nobody renews the lease: another worker may have the window once it has lapsed.
            async with asyncio.timeout(self.runtime.settings.lease_ttl.total_seconds() * 2 / 3):
                await self._delete(left)
        except (RunError, TimeoutError) as error:
            log.warning("objects of an ended run not deleted", run_id=str(left.run_id), reason=str(error))
            async with insisting(DATABASE_LIMIT), self.runtime.sessions.begin() as session:
                await LeftoverRepository(session).put_off(left, AGAIN_AFTER)
        return True

    async def _claim(self) -> Leftovers | None:
        try:
            async with insisting(DATABASE_LIMIT), self.runtime.sessions.begin() as session:
                return await LeftoverRepository(session).claim(self.owner, self.runtime.settings.lease_ttl)
        except IntegrityError:
            return None  # the window is somebody's by now; later, then

    async def _delete(self, left: Leftovers) -> None:
        destination = await open_destination(self.runtime, left)
        async with self.runtime.sessions() as session:
            keys, overwritten = await LeftoverRepository(session).keys(left, destination.location)
        if keys:
            await destination.discard(keys, f"{left.run_id}/")
        async with self.runtime.sessions.begin() as session:
            await LeftoverRepository(session).forget(left)
        log.info("objects of an ended run deleted", run_id=str(left.run_id), keys=len(keys))
        if overwritten:
            self.logs.write(Line(left.export_id, left.run_id, Level.WARNING, lines.half_overwritten()))


@asynccontextmanager
async def open_sweeper(runtime: Runtime, owner: str, logs: Log) -> AsyncIterator[Sweeper]:
    """A sweeper at work; once the block is left, what it had begun has ended or is left to its lease."""
    sweeper = Sweeper(runtime, owner, logs)
    async with repeating(sweeper.sweep, runtime.settings.tick_interval, "no objects of ended runs deleted"):
        yield sweeper
