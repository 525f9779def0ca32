"""Holding on to a run while it is worked on."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from app.errors import LeaseLost

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Lease:
    """``extend`` renews the lease for ``ttl`` and says whether it is still held; it is called every ``interval``."""

    extend: Callable[[], Awaitable[bool]]
    ttl: timedelta
    interval: timedelta

    async def hold(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do ``work`` while beating. ``work`` is cancelled as soon as the lease is lost.

        :raises LeaseLost: when the lease is lost, or could not be renewed for two thirds of its life.
        """
        try:
            async with asyncio.TaskGroup() as group:
                heart = group.create_task(self._beat())
                result = await work()
                heart.cancel()
        except* LeaseLost as lost:
            raise lost.exceptions[0] from None
        return result

    async def confirm(self) -> None:
        """Renew right now.

        :raises LeaseLost: when the lease is no longer held.
        """
        if not await self.extend():
            raise LeaseLost

    async def _beat(self) -> None:
        # Fail closed: whoever cannot reach the database must have stopped before somebody else may begin.
        patience = self.ttl.total_seconds() * 2 / 3
        renewed = time.monotonic()
        while True:
            await asyncio.sleep(self.interval.total_seconds())
            try:
                async with asyncio.timeout(max(0.0, renewed + patience - time.monotonic())):
                    await self.confirm()
                renewed = time.monotonic()
            except (SQLAlchemyError, OSError, TimeoutError) as error:
                log.warning("heartbeat missed", reason=type(error).__name__)
                if time.monotonic() - renewed >= patience:
                    raise LeaseLost from None
