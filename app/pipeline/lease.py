"""Holding on to a run while it is worked on."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import structlog

from app.clocks import elapsing
from app.errors import LeaseLost
from app.timeouts import insisting

T = TypeVar("T")

RETRY_WAIT = 1.0
"""Seconds until the next try after a beat that did not get through; never more than the usual interval."""
log = structlog.get_logger(__name__)


class Lease:
    """One attempt's hold on its run. ``extend`` renews it for ``ttl`` and says whether it is still held.

    Whoever cannot renew for two thirds of ``ttl`` has lost it: he must have stopped before somebody else may begin.
    """

    def __init__(
        self, extend: Callable[[], Awaitable[bool]], ttl: timedelta, interval: timedelta, since: float | None = None
    ) -> None:
        """``interval`` is between beats; ``since``: when the lease was asked for, as :func:`elapsing` counts."""
        self._extend = extend
        self._interval = interval.total_seconds()
        self._patience = ttl.total_seconds() * 2 / 3
        self._until = (elapsing() if since is None else since) + self._patience

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

    async def confirm(self, renew: Callable[[], Awaitable[bool]] | None = None, within: float | None = None) -> None:
        """Renew right now; while the database is away, try on for as long as the lease surely lasts, or for ``within``
        seconds.

        ``renew`` may do more in the same transaction; it is repeated when its answer is lost.

        :raises LeaseLost: when it is not held any more, or that cannot be known.
        """
        renew = renew or self._extend
        deadline = self._until if within is None else elapsing() + within
        while True:
            # The lease counts from when the database was asked, at the latest: not from when its answer came.
            asked = elapsing()
            # Several tries, for a database that says nothing on one connection may do so on the next.
            limit = min(deadline - asked, self._patience / 3)
            try:
                async with insisting(max(0.0, limit)):
                    held = await renew()
            except Exception as error:
                # Whatever it is, the lease has not been renewed, and that alone decides.
                log.warning("heartbeat missed", reason=type(error).__name__)
                wait = min(RETRY_WAIT, self._interval)
                if elapsing() + wait >= deadline:
                    raise LeaseLost from None
                await asyncio.sleep(wait)
            else:
                if not held:
                    self._until = asked
                    raise LeaseLost
                self._until = max(self._until, asked + self._patience)
                return

    def check(self) -> None:
        """:raises LeaseLost: when the last renewal is so long ago that another worker may have the run. Asks nobody."""
        if elapsing() >= self._until:
            raise LeaseLost

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(min(self._interval, self._patience / 2))
            await self.confirm()
