"""The source's own statements, made on a connection that is open already: many in the time in which one is opened."""

from datetime import datetime
from typing import Any

from app.sources.base import EventQuery
from app.sources.columns import IDENTITY
from app.sources.postgres.source import MODELS
from app.sources.postgres.values import Values
from tests.sources.store import Connection


async def rows(store: Connection, query: EventQuery) -> list[dict[str, Any]]:
    """By what tells them apart. Whatever is counted is what is read."""
    model, identity = MODELS[query.model], IDENTITY[query.model]
    found = [dict(row) for row in await store.fetch(model.select(query, Values()))]
    counted = await store.fetchval(model.count(query, Values()))
    compared = await store.fetchrow(model.fingerprint(query, Values()))
    assert counted == compared["rows"] == len(found) == len({row[identity] for row in found})
    return sorted(found, key=lambda row: str(row[identity]))


async def earliest(store: Connection, query: EventQuery) -> datetime | None:
    found: datetime | None = await store.fetchval(MODELS[query.model].earliest(query, Values()))
    return found


async def plans(store: Connection, query: EventQuery) -> list[str]:
    """Of reading, counting, comparing, and looking for the first row."""
    model = MODELS[query.model]
    statements = [build(query, Values()) for build in (model.select, model.count, model.fingerprint, model.earliest)]
    return ["\n".join(line[0] for line in await store.fetch(f"EXPLAIN {statement}")) for statement in statements]
