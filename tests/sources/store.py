"""The event store as a test fills it, reads it, and looks at who else is connected."""

import asyncio
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pyarrow as pa

from app.sources.base import EventQuery, Source
from app.sources.columns import EVENT_COLUMNS
from tests.factories import utc

TEAM = 7
START, END = utc(2026, 3, 1), utc(2026, 3, 2)
QUERY = EventQuery(TEAM, "events", START, END, "timestamp", EVENT_COLUMNS.names)
BATCH_BYTES = 256 * 1024
Connection = Any


async def add(store: Connection, moment: datetime, event: str = "e", **values: Any) -> UUID:
    row: dict[str, Any] = {
        "team_id": TEAM,
        "uuid": uuid4(),
        "event": event,
        "distinct_id": "user",
        "person_id": None,
        "properties": "{}",
        "person_properties": None,
        "timestamp": moment,
        "inserted_at": moment,
        **values,
    }
    places = ", ".join(f"${number + 1}" for number in range(len(row)))
    await store.execute(f"INSERT INTO event_store.events ({', '.join(row)}) VALUES ({places})", *row.values())
    return UUID(str(row["uuid"]))


async def fill(store: Connection, rows: int, size: int) -> None:
    """Many events at once, each with properties of about ``size`` bytes."""
    await store.execute(
        "INSERT INTO event_store.events (team_id, uuid, event, distinct_id, properties, timestamp, inserted_at) "
        "SELECT $1, gen_random_uuid(), 'e', 'user', json_build_object('text', repeat('x', $3)), $4, $4 "
        "FROM generate_series(1, $2)",
        TEAM,
        rows,
        size,
        START,
    )


async def read(source: Source, query: EventQuery = QUERY) -> pa.Table:
    batches = [batch async for batch in source.read(query)]
    return pa.Table.from_batches(batches, source.schema(query))


async def names(source: Source, query: EventQuery) -> list[str]:
    found = sorted(str(name) for name in (await read(source, query)).column("event").to_pylist())
    assert await source.count(query) == len(found)
    return found


async def queries(store: Connection) -> list[str]:
    """What other connections to this database run at the moment."""
    rows = await store.fetch(
        "SELECT query FROM pg_stat_activity "
        "WHERE datname = current_database() AND application_name = 'batch-exports source'"
    )
    return [row["query"] for row in rows]


async def none_left(store: Connection) -> bool:
    """A connection that was closed is gone at the server a moment later."""
    async with asyncio.timeout(20):
        while await queries(store):
            await asyncio.sleep(0.01)
    return True
