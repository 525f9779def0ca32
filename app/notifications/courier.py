"""Delivering notifications: at least once, by any worker, for as long as it takes within a day.

Rows in Postgres are all there is to it: a courier that dies leaves a lease, and another takes the delivery up.
"""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Final

import structlog

from app.notifications.channels import DeliveryFailed
from app.notifications.claims import Parcel, ParcelRepository
from app.notifications.sending import Sender
from app.repeating import repeating
from app.runtime import Runtime
from app.timeouts import insisting

AT_ONCE: Final = 8
"""Deliveries of one process at the same time."""
LEASE: Final = timedelta(minutes=2)
"""Longer than an attempt and its record may take together."""
DATABASE_LIMIT: Final = 10.0
"""Seconds after which a database that says nothing does not answer."""
LONGEST_WAIT: Final = timedelta(minutes=10)

log = structlog.get_logger(__name__)


class Courier:
    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._settings = runtime.settings
        self._sender = Sender(runtime)

    async def deliver_due(self) -> int:
        """Make an attempt at a few of the deliveries that are due; how many these were."""
        async with insisting(DATABASE_LIMIT), self._runtime.sessions.begin() as session:
            parcels = await ParcelRepository(session).claim(AT_ONCE, LEASE)
        # Each by itself: an attempt whose outcome is not recorded is simply made again.
        outcomes = await asyncio.gather(*(self._deliver(parcel) for parcel in parcels), return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                log.warning("outcome of a notification not recorded", reason=type(outcome).__name__)
        return len(parcels)

    async def _deliver(self, parcel: Parcel) -> None:
        failure: DeliveryFailed | None = None
        try:
            await self._sender.send(parcel)
        except DeliveryFailed as error:
            failure = error
        except Exception as error:
            # Its text may hold anything, a secret too.
            log.exception("unexpected error in a notification", delivery_id=str(parcel.delivery_id))
            failure = DeliveryFailed(f"Unexpected {type(error).__name__}; the worker's log says more.")
        async with insisting(DATABASE_LIMIT), self._runtime.sessions.begin() as session:
            await self._record(ParcelRepository(session), parcel, failure)

    async def _record(self, parcels: ParcelRepository, parcel: Parcel, failure: DeliveryFailed | None) -> None:
        if failure is None:
            await parcels.delivered(parcel)
            return
        delay = backoff(parcel.attempt, random.random())  # noqa: S311  spreads load, guards nothing
        if failure.final or parcel.age + delay > self._settings.notification_give_up_after:
            log.error("notification given up", delivery_id=str(parcel.delivery_id), reason=failure.reason)
            await parcels.give_up(parcel, failure.reason)
        else:
            log.warning("notification not sent, will be tried again", reason=failure.reason)
            await parcels.retry_later(parcel, failure.reason, delay)


def backoff(attempt: int, chance: float) -> timedelta:
    """Before the next attempt: up to a second after the first one, twice as much each time; ``chance`` is in [0, 1)."""
    # The exponent is bounded: a day of attempts would overflow what a duration can hold.
    return chance * min(LONGEST_WAIT, timedelta(seconds=2 ** min(attempt - 1, 16)))


@asynccontextmanager
async def open_courier(runtime: Runtime) -> AsyncIterator[Courier]:
    """A courier at work; once the block is left, what it had begun has ended or is left to its lease."""
    courier = Courier(runtime)

    async def work() -> bool:
        return await courier.deliver_due() == AT_ONCE

    async with repeating(work, runtime.settings.notification_poll_interval, "no notifications sent"):
        yield courier
