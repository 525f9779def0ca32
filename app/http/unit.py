"""One transaction per request, committed in one place, before the answer leaves."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, Request

from app.http.throttle import get_runtime, throttle
from app.unit import Unit


async def _unit(request: Request, _: Annotated[None, Depends(throttle)]) -> AsyncIterator[Unit]:
    runtime = get_runtime(request)
    # A connection is ours first, in bounded time: a database that hangs would keep the pool's check waiting for ever.
    limit = 2 * runtime.settings.database_connect_timeout.total_seconds()
    async with runtime.sessions() as session:
        async with asyncio.timeout(limit):
            await session.connection()
        unit = Unit(session, runtime)
        yield unit
        await session.commit()
    # Hints only after the commit: whoever follows one must find the row.
    for send in unit.after_commit:
        await send()


# Function scope: the default would commit after the answer has been sent, so a client could read before its own write.
UnitOfWork = Annotated[Unit, Depends(_unit, scope="function")]
