"""Holding on to a run while it is worked on."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import structlog

from app.errors import LeaseLost

T = TypeVar("T")

RETRY_WAIT = 1.0
"""Seconds until the next try after a beat that did not get through; never more than the usual interval."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Lease:
    """``extend`` renews the lease for ``ttl`` and says whether it is still held; it is called every ``interval``.

    Whoever cannot renew for two thirds of ``ttl`` has lost it: he must have stopped before somebody else may begin.
    """

    extend: Callable[[], Awaitable[bool]]
    ttl: timedelta
    interval: timedelta

    async def hold(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do ``work`` while beating. ``work`` is cancelled as soon as the lease is lost.

        :raises LeaseLost: when it is; otherwise whatever ``work`` raises.
        """
        try:
            async with asyncio.TaskGroup() as group:
                heart = group.create_task(self._beat())
                result = await work()
                heart.cancel()
        except BaseExceptionGroup as errors:
            # Work that is cancelled for a lost lease may raise on its way out; what counts is the lease.
            if errors.subgroup(LeaseLost) is not None:
                raise LeaseLost from None
            raise errors.exceptions[0] from None
        return result

    async def confirm(self) -> None:
        """Renew right now; while the database is away, try on for as long as the lease surely lasts.

        :raises LeaseLost: when it is not held any more, or that cannot be known.
        """
        await self._renew(time.monotonic() + self._patience)

    async def _beat(self) -> None:
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(min(self.interval.total_seconds(), self._patience / 2))
            # The lease counts from when the database was asked, at the latest: not from when its answer came.
            asked = time.monotonic()
            await self._renew(renewed + self._patience)
            renewed = asked

    async def _renew(self, deadline: float) -> None:
        while True:
            # Several tries, for a database that says nothing on one connection may do so on the next.
            limit = min(deadline - time.monotonic(), self._patience / 3)
            try:
                async with asyncio.timeout(max(0.0, limit)):
                    if await self.extend():
                        return
            except Exception as error:
                # Whatever it is, the lease has not been renewed, and that alone decides.
                log.warning("heartbeat missed", reason=type(error).__name__)
                wait = min(RETRY_WAIT, self.interval.total_seconds())
                if time.monotonic() + wait >= deadline:
                    raise LeaseLost from None
                await asyncio.sleep(wait)
            else:
                raise LeaseLost

    @property
    def _patience(self) -> float:
        return self.ttl.total_seconds() * 2 / 3
