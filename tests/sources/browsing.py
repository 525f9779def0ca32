"""Sessions as a test makes them, of events in the event store, and as it reads them."""

import json
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from app.sources.base import EventQuery, Source
from app.sources.columns import SESSION_COLUMNS
from tests.sources.store import END, START, TEAM, Connection, add, read

SESSIONS = EventQuery(TEAM, "sessions", START, END, "ingested_at", SESSION_COLUMNS.names)
DAY = END - START
TICK = timedelta(microseconds=1)
BEFORE, NOON = START - TICK, START + DAY / 2
SECOND = timedelta(seconds=1)


async def capture(
    store: Connection, moment: datetime, event: str = "$pageview", session: Any = "s", **values: Any
) -> UUID:
    """An event of a session; what is no column is a property."""
    columns = {name: values.pop(name) for name in ("inserted_at", "distinct_id", "team_id", "uuid") if name in values}
    properties = json.dumps({"$session_id": session, **{name.replace("__", "$", 1): values[name] for name in values}})
    return await add(store, moment, event, properties=properties, **columns)


async def rows(source: Source, query: EventQuery = SESSIONS) -> list[dict[str, Any]]:
    """By session id. Whatever is counted is what is read."""
    found = (await read(source, query)).sort_by("session_id").to_pylist()
    assert await source.count(query) == len(found)
    assert (await source.fingerprint(query)).rows == len(found)
    return found


async def ids(source: Source, query: EventQuery = SESSIONS) -> list[str]:
    return [row["session_id"] for row in await rows(source, query)]


async def the_row(source: Source, query: EventQuery = SESSIONS) -> dict[str, Any]:
    [row] = await rows(source, query)
    return row
