"""What the soak itself does must get done, whatever it has just broken."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from app.db.engine import DATABASE_ERRORS

T = TypeVar("T")

PATIENCE: Final = 90.0
"""Seconds; longer than any service is away."""
PAUSE: Final = 0.3


async def persist(work: Callable[[], Awaitable[T]]) -> T:
    """The result of ``work``, which may be done twice: an answer that is lost does not tell whether it was.

    :raises TimeoutError: when the database stays away.
    """
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                return await work()
            except DATABASE_ERRORS:
                await asyncio.sleep(PAUSE)


async def holds(condition: Callable[[], Awaitable[bool]], limit: float) -> bool:
    """Whether the condition comes to hold within ``limit`` seconds."""
    try:
        async with asyncio.timeout(limit):
            while not await persist(condition):
                await asyncio.sleep(PAUSE)
    except TimeoutError:
        return False
    return True
