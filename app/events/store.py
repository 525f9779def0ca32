"""Writing into the embedded event store: many events at a time, each stored once."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import asyncpg

from app.errors import StoreUnavailable
from app.events.rows import COLUMNS, EventRow
from app.models import EVENT_STORE_SCHEMA

if TYPE_CHECKING:
    Connection: TypeAlias = asyncpg.Connection[asyncpg.Record]

T = TypeVar("T")

STAGE = "incoming_events"
"""A temporary table of the connection's own. Events are copied there first: COPY itself cannot pass over duplicates."""
STORED_COLUMNS: Final = ("team_id", *COLUMNS)
TIMESTAMP: Final = STORED_COLUMNS.index("timestamp")

_MAKE_STAGE = f"""
CREATE TEMPORARY TABLE IF NOT EXISTS {STAGE} ON COMMIT DELETE ROWS
AS SELECT {", ".join(STORED_COLUMNS)} FROM {EVENT_STORE_SCHEMA}.events WITH NO DATA
"""  # noqa: S608  constants
_STORE = f"""
INSERT INTO {EVENT_STORE_SCHEMA}.events ({", ".join(STORED_COLUMNS)})
SELECT {", ".join(STORED_COLUMNS)} FROM {STAGE}
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
POISON = (asyncpg.DataError, asyncpg.ProgramLimitExceededError, asyncpg.StatementTooComplexError)
"""What one event brings upon all that are stored with it."""


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


async def insert_events(connection: "Connection", rows: Sequence[tuple[Any, ...]]) -> int:
    """How many of ``rows`` are new; each is a project's id and the columns of an :class:`EventRow`.

    To be called in a transaction, on a connection of :func:`connect`.
    """
    # By time, so that those who read them in that order, as most do, find them next to one another. And in one order,
    # whoever writes: two that store the same events at once must not wait for one another.
    ordered = sorted(rows, key=lambda row: (row[0], row[TIMESTAMP], row[1].int))
    await connection.copy_records_to_table(STAGE, records=ordered, columns=STORED_COLUMNS)
    status = await connection.execute(_STORE)
    return int(status.rsplit(" ", 1)[1])  # "INSERT 0 <rows>"


async def store_each(items: Sequence[T], store: Callable[[Sequence[T]], Awaitable[int]], first: int = 0) -> Stored:
    """Have ``store`` store all of ``items``, in as few transactions as those that it does not take leave.

    ``store`` stores all or none and says how many were new. ``first`` is the place of the first item.
    """
    try:
        return Stored(await store(items), ())
    except POISON as error:
        # One event spoils its batch. Halving finds it in few steps, and everything else is stored.
        if len(items) == 1:
            return Stored(0, (Unstorable(first, f"the event store does not take it: {_reason(error)}"),))
    middle = len(items) // 2
    left = await store_each(items[:middle], store, first)
    right = await store_each(items[middle:], store, first + middle)
    return Stored(left.new + right.new, (*left.refused, *right.refused))


class EventWriter:
    """Stores events over one connection, batch by batch, each in a transaction of its own."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection

    async def write(self, project_id: int, rows: Sequence[EventRow]) -> Stored:
        """Durable when this returns. An event whose uuid the project has already is passed over.

        :raises StoreUnavailable: none of ``rows`` can be counted on then, though some may be stored.
        """

        async def insert(some: Sequence[EventRow]) -> int:
            async with self._connection.transaction():
                return await insert_events(self._connection, [(project_id, *row) for row in some])

        async def store(some: Sequence[EventRow]) -> int:
            try:
                return await insert(some)
            except asyncpg.DeadlockDetectedError:
                # Somebody else stores events of the same uuids, and has other times for them. They go first.
                return await insert(some)

        if not rows:
            return Stored(0, ())
        try:
            return await store_each(rows, store)
        except GONE as error:
            raise gone(error) from None


def gone(error: BaseException) -> StoreUnavailable:
    return StoreUnavailable(f"The event store went away ({type(error).__name__}).")


def _reason(error: Exception) -> str:
    return str(error.args[0] if error.args else type(error).__name__).split("\n", 1)[0]


async def connect(
    dsn: str, *, connect_timeout: float, server_settings: Mapping[str, str] | None = None
) -> "Connection":
    """A connection on which :func:`insert_events` works.

    :raises StoreUnavailable: when the event store does not answer.
    """
    try:
        connection = await asyncpg.connect(
            dsn, timeout=connect_timeout, server_settings={"timezone": "UTC", **(server_settings or {})}
        )
        try:
            await connection.execute(_MAKE_STAGE)
        except BaseException:
            connection.terminate()
            raise
    except (*GONE, asyncpg.InvalidAuthorizationSpecificationError, asyncpg.InvalidCatalogNameError) as error:
        raise StoreUnavailable(f"The event store cannot be connected to ({type(error).__name__}).") from None
    return connection


@asynccontextmanager
async def open_writer(dsn: str, *, connect_timeout: float) -> AsyncIterator[EventWriter]:
    """A writer on a connection of its own.

    :raises StoreUnavailable: when the event store does not answer.
    """
    connection = await connect(dsn, connect_timeout=connect_timeout)
    try:
        yield EventWriter(connection)
    finally:
        with suppress(*GONE):
            await connection.close()
