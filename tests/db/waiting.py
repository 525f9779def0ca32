"""Transactions that wait for one another."""

import asyncio

from sqlalchemy import text

from app.runtime import Runtime

DEADLINE = 30.0
"""Seconds after which nothing waits, rather than being slow to."""


async def blocked(runtime: Runtime) -> None:
    """Until a statement waits for another transaction."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    async with asyncio.timeout(DEADLINE):
        while True:
            async with runtime.sessions() as session:
                if (await session.scalars(query)).one():
                    return
            await asyncio.sleep(0.01)
