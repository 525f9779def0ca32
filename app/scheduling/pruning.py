"""The event store's retention: how far it may be deleted, and a worker that does it."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import structlog

from app.errors import StoreUnavailable
from app.events.retention import Pruned, prune
from app.exports.needed import Needed
from app.repeating import repeating
from app.runtime import Runtime

PAUSE: Final = timedelta(hours=1)
"""Between two passes of a worker."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Horizon:
    """What was ingested before ``before`` may go. ``wanted`` is earlier where some run still needs what is older."""

    before: datetime
    wanted: datetime

    @property
    def held_back(self) -> bool:
        return self.before < self.wanted


async def horizon(runtime: Runtime, retention: timedelta) -> Horizon:
    wanted = runtime.clock() - retention
    async with runtime.sessions() as session:
        needed = await Needed(session).since()
    return Horizon(min(wanted, needed) if needed is not None else wanted, wanted)


async def prune_store(
    runtime: Runtime, retention: timedelta, progress: Callable[[Pruned], Any] = lambda pruned: None
) -> tuple[Horizon, Pruned | None]:
    """Delete what is older than ``retention`` and needed by no run any more. See :func:`app.events.retention.prune`.

    :raises app.errors.StoreUnavailable: when the event store does not answer.
    """
    until = await horizon(runtime, retention)
    return until, await prune(runtime.settings.event_store_dsn, until.before, progress)


@asynccontextmanager
async def open_pruner(runtime: Runtime) -> AsyncIterator[None]:
    """Prunes every hour, where a retention is set."""
    retention = runtime.settings.event_retention
    if retention is None:
        yield
        return

    async def work() -> bool:
        try:
            until, pruned = await prune_store(runtime, retention)
        except StoreUnavailable as error:
            log.warning("nothing pruned from the event store", reason=str(error))
            return False
        if pruned is not None and pruned.events:
            log.info("events pruned", before=until.before.isoformat(), events=pruned.events)
        return False

    async with repeating(work, PAUSE, "nothing pruned from the event store"):
        yield
