"""Work that a process does beside everything else, again and again, for as long as it lives."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import structlog

from app.db.engine import DATABASE_ERRORS

STOP_LIMIT = 5.0
"""Seconds that what has been begun may still take once the process is to end."""

log = structlog.get_logger(__name__)


@asynccontextmanager
async def repeating(work: Callable[[], Awaitable[bool]], pause: timedelta, undone: str) -> AsyncIterator[None]:
    """Do ``work`` beside the block: at once again while it says that there is more, else after ``pause``.

    Errors are logged, as ``undone``, and survived. ``work`` must bear being broken off anywhere: once the block is
    left, it has a few seconds to come to its end.
    """
    stopped = asyncio.Event()

    async def serve() -> None:
        while not stopped.is_set():
            more = False
            try:
                more = await work()
            except DATABASE_ERRORS as error:
                log.warning(undone, reason=f"the database does not answer ({type(error).__name__})")
            except Exception:
                log.exception(undone)
            if not more:
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause.total_seconds()):
                        await stopped.wait()

    serving = asyncio.create_task(serve())
    try:
        yield
    finally:
        stopped.set()
        await asyncio.wait([serving], timeout=STOP_LIMIT)
        serving.cancel()
        await asyncio.gather(serving, return_exceptions=True)
