"""Deleting what the event store need not keep: events that were ingested long ago, versions of persons that newer ones
have replaced, and what was refused at intake.

First it is put on record from when on the store is whole, and only then is anything deleted: a run that reads an older
interval finds that it may have missed rows, and leaves what was exported as it is (:mod:`app.sources.postgres`). Rows
go in small transactions, each with no lock but those of its rows, so that intake and runs never wait for long.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import asyncpg

from app.errors import StoreUnavailable
from app.events.store import GONE
from app.models import EVENT_STORE_SCHEMA

BATCH_ROWS: Final = 10_000
"""Deleted per transaction: some tenths of a second."""

LOCK: Final = 0x7072756E65
"""Of the database, "prune": one process deletes at a time, the others have nothing to add."""

_MARK: Final = """
INSERT INTO event_store.retention AS kept (id, pruned_before) VALUES (1, $1)
ON CONFLICT (id) DO UPDATE SET pruned_before = greatest(kept.pruned_before, excluded.pruned_before)
"""
# Each project's rows are found by an index that begins with the project; DISTINCT would read all of it.
_PROJECTS: Final = """
WITH RECURSIVE projects (team_id) AS (
    SELECT min(team_id) FROM {table}
    UNION ALL
    SELECT (SELECT min(team_id) FROM {table} WHERE team_id > projects.team_id) FROM projects
    WHERE projects.team_id IS NOT NULL
)
SELECT team_id FROM projects WHERE team_id IS NOT NULL
"""
_DELETE: Final = """
DELETE FROM {table} WHERE ctid = ANY (ARRAY(
    SELECT ctid FROM {table} AS old WHERE team_id = $1 AND {time} < $2 {unless} ORDER BY {time} LIMIT $3
))
"""
# What holds at the beginning of what is kept must stay: the newest version before it.
_REPLACED: Final = """
AND EXISTS (
    SELECT FROM {table} AS newer
    WHERE newer.team_id = old.team_id AND newer.{key} = old.{key} AND newer.version > old.version
      AND newer.inserted_at < $2
)
"""


@dataclass(frozen=True, slots=True)
class _Table:
    name: str
    time: str = "inserted_at"
    key: str | None = None
    """Of versioned rows: what they are versions of."""

    def projects(self) -> str:
        return _PROJECTS.format(table=f"{EVENT_STORE_SCHEMA}.{self.name}")

    def delete(self) -> str:
        table = f"{EVENT_STORE_SCHEMA}.{self.name}"
        unless = _REPLACED.format(table=table, key=self.key) if self.key is not None else ""
        return _DELETE.format(table=table, time=self.time, unless=unless)


_TABLES: Final = {
    "events": _Table("events"),
    "person_versions": _Table("persons", key="id"),
    "distinct_id_versions": _Table("person_distinct_ids", key="distinct_id"),
    "ingestion_errors": _Table("ingestion_errors", time="created_at"),
}


@dataclass(slots=True)
class Pruned:
    """How many rows went."""

    events: int = 0
    person_versions: int = 0
    distinct_id_versions: int = 0
    ingestion_errors: int = 0


async def prune(dsn: str, before: datetime, progress: Callable[[Pruned], Any] = lambda pruned: None) -> Pruned | None:
    """Delete what was ingested before ``before``. ``progress`` is called after each batch.

    None: another process is at it. May be broken off anywhere; what is left goes the next time.

    :raises StoreUnavailable: what went until then is gone.
    """
    try:
        connection = await asyncpg.connect(dsn, server_settings={"application_name": "batch-exports prune"})
        try:
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", LOCK):
                return None
            await connection.execute(_MARK, before)
            pruned = Pruned()
            for field, table in _TABLES.items():
                await _prune_table(connection, field, table, before, pruned, progress)
            return pruned
        finally:
            await connection.close()
    except GONE as error:
        raise StoreUnavailable(f"The event store went away ({type(error).__name__}).") from None


async def _prune_table(
    connection: "asyncpg.Connection[asyncpg.Record]",
    field: str,
    table: _Table,
    before: datetime,
    pruned: Pruned,
    progress: Callable[[Pruned], Any],
) -> None:
    for project in await connection.fetch(table.projects()):
        gone = BATCH_ROWS
        while gone == BATCH_ROWS:
            status = await connection.execute(table.delete(), project["team_id"], before, BATCH_ROWS)
            gone = int(status.rsplit(" ", 1)[1])  # "DELETE <rows>"
            setattr(pruned, field, getattr(pruned, field) + gone)
            progress(pruned)
