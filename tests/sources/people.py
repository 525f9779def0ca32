"""Versions of persons, and of whose a distinct id is, as a test puts them into the event store."""

from datetime import datetime
from typing import Any
from uuid import UUID

from tests.factories import utc
from tests.sources.store import TEAM, Connection

CREATED = utc(2025, 1, 1)
ANNE, BERT, CORA = (UUID(int=number) for number in (1, 2, 3))


async def add_person(store: Connection, person: UUID, version: int, moment: datetime, **values: Any) -> None:
    row = {"team_id": TEAM, "properties": "{}", "created_at": CREATED, "is_deleted": False, **values}
    await _insert(store, "persons", {"id": person, "version": version, "inserted_at": moment, **row})


async def add_mapping(
    store: Connection, distinct_id: str, version: int, person: UUID, moment: datetime, **values: Any
) -> None:
    row = {"team_id": TEAM, "is_deleted": False, **values}
    keys = {"distinct_id": distinct_id, "version": version, "person_id": person, "inserted_at": moment}
    await _insert(store, "person_distinct_ids", {**keys, **row})


async def _insert(store: Connection, table: str, row: dict[str, Any]) -> None:
    places = ", ".join(f"${number + 1}" for number in range(len(row)))
    await store.execute(f"INSERT INTO event_store.{table} ({', '.join(row)}) VALUES ({places})", *row.values())
