"""Writing into the embedded event store: many events at a time, each stored once."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import asyncpg

from app.errors import StoreUnavailable
from app.events.parse import COLUMNS, EventRow
from app.models import EVENT_STORE_SCHEMA

STAGE = "incoming_events"
"""A temporary table of the connection's own. Events are copied there first: COPY itself cannot pass over duplicates."""

_MAKE_STAGE = f"""
CREATE TEMPORARY TABLE IF NOT EXISTS {STAGE} ON COMMIT DELETE ROWS
AS SELECT {", ".join(COLUMNS)} FROM {EVENT_STORE_SCHEMA}.events WITH NO DATA
"""  # noqa: S608  constants
_STORE = f"""
INSERT INTO {EVENT_STORE_SCHEMA}.events (team_id, {", ".join(COLUMNS)})
SELECT $1, {", ".join(COLUMNS)} FROM {STAGE}
ON CONFLICT DO NOTHING
"""  # noqa: S608  constants


GONE = (
    OSError,  # TimeoutError is one
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # what a connection that was ended while idle raises at its next use
)


@dataclass(frozen=True, slots=True)
class Unstorable:
    """An event that Postgres would not take, by its place in the batch, and why."""

    index: int
    reason: str


@dataclass(frozen=True, slots=True)
class Stored:
    """``new`` events are in the store now; ``refused`` ones are not. All others were there already."""

    new: int
    refused: Sequence[Unstorable]


class EventWriter:
    """Stores events over one connection, batch by batch, each in a transaction of its own."""

    def __init__(self, connection: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._connection = connection

    async def write(self, project_id: int, rows: Sequence[EventRow]) -> Stored:
        """Durable when this returns. An event whose uuid the project has already is passed over.

        :raises StoreUnavailable: none of ``rows`` can be counted on then, though some may be stored.
        """
        if not rows:
            return Stored(0, ())
        try:
            return await self._write(project_id, rows, 0)
        except GONE as error:
            raise StoreUnavailable(f"The event store went away ({type(error).__name__}).") from None

    async def _write(self, project_id: int, rows: Sequence[EventRow], first: int) -> Stored:
        try:
            return Stored(await self._store(project_id, rows), ())
        except (asyncpg.DataError, asyncpg.ProgramLimitExceededError, asyncpg.StatementTooComplexError) as error:
            # One event spoils its batch. Halving finds it in few steps, and everything else is stored.
            if len(rows) == 1:
                return Stored(0, (Unstorable(first, f"the event store does not take it: {_reason(error)}"),))
        middle = len(rows) // 2
        left = await self._write(project_id, rows[:middle], first)
        right = await self._write(project_id, rows[middle:], first + middle)
        return Stored(left.new + right.new, (*left.refused, *right.refused))

    async def _store(self, project_id: int, rows: Sequence[EventRow]) -> int:
        async with self._connection.transaction():
            await self._connection.copy_records_to_table(STAGE, records=rows, columns=COLUMNS)
            status = await self._connection.execute(_STORE, project_id)
        return int(status.rsplit(" ", 1)[1])  # "INSERT 0 <rows>"


def _reason(error: Exception) -> str:
    return str(error.args[0] if error.args else type(error).__name__).split("\n", 1)[0]


@asynccontextmanager
async def open_writer(dsn: str, *, connect_timeout: float) -> AsyncIterator[EventWriter]:
    """A writer on a connection of its own.

    :raises StoreUnavailable: when the event store does not answer.
    """
    try:
        connection = await asyncpg.connect(dsn, timeout=connect_timeout, server_settings={"timezone": "UTC"})
    except (*GONE, asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
        raise StoreUnavailable(f"The event store cannot be connected to ({type(error).__name__}).") from None
    try:
        await connection.execute(_MAKE_STAGE)
        yield EventWriter(connection)
    finally:
        with suppress(*GONE):
            await connection.close()
