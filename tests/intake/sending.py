"""The few words in which tests send events and look at what became of them."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeAlias
from uuid import uuid4

import asyncpg
import httpx

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

ROOT = "http://service.test"
DEADLINE = 20.0


def event(name: Any = "e", distinct_id: Any = "d", **fields: Any) -> dict[str, Any]:
    """With a uuid of its own. Fields that are ``...`` are left out."""
    document = {"uuid": str(uuid4()), "event": name, "distinct_id": distinct_id, **fields}
    return {key: value for key, value in document.items() if value is not ...}


def batch(token: str, *events: Any, **more: Any) -> dict[str, Any]:
    return {"api_key": token, "batch": list(events), **more}


async def send(client: httpx.AsyncClient, token: str, *events: Any, **more: Any) -> None:
    answer = await client.post("/batch/", json=batch(token, *events, **more))
    assert (answer.status_code, answer.json()) == (200, {"status": 1}), answer.text


async def stored(store: Connection, columns: str = "event", order: str = "event") -> list[Any]:
    rows = await store.fetch(f"SELECT {columns} FROM event_store.events ORDER BY {order}")
    return [row[0] if len(row) == 1 else tuple(row) for row in rows]


async def wrong(store: Connection) -> list[tuple[str, bool, str | None]]:
    """Code, whether stored, name of the event; oldest first."""
    rows = await store.fetch("SELECT code, stored, event FROM event_store.ingestion_errors ORDER BY id")
    return [tuple(row) for row in rows]


async def until(true: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(DEADLINE):
        while not await true():
            await asyncio.sleep(0.01)


async def waiting_for_locks(store: Connection) -> int:
    """How many of the intake's connections wait for somebody else's lock."""
    return int(
        await store.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'batch-exports intake' "
            "AND datname = current_database() AND wait_event_type = 'Lock'"
        )
    )
