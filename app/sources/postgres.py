"""The event store in Postgres, read as Arrow.

ADBC turns the binary COPY stream into record batches in native code, in a thread of its own per query; the event loop
only hands them on.
"""

import asyncio
import json
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import pyarrow as pa
from adbc_driver_manager import Error as AdbcError
from adbc_driver_postgresql import StatementOptions, dbapi

from app.errors import Defect, Misconfigured, RunError, SourceUnavailable
from app.sources.base import EVENT_COLUMNS, EventQuery
from app.streams import Batches

T = TypeVar("T")

EXPRESSIONS: Final[Mapping[str, str]] = {
    "uuid": "uuid::text",
    "person_id": "person_id::text",
    "_inserted_at": "inserted_at",
    "team_id": "team_id::bigint",
}
"""What SQL a column is, where it is not simply its name."""

TIME_COLUMNS: Final[Mapping[str, str]] = {"ingested_at": "inserted_at", "timestamp": "timestamp"}

SESSION_OPTIONS: Final = "-c default_transaction_read_only=on -c statement_timeout=0 -c timezone=UTC"
"""A run decides by itself how long it may take, and a source is only ever read."""

GONE: Final = ("08", "57P", "53")
"""SQLSTATE classes that pass: connection lost, server shutting down, server out of resources."""
DENIED: Final = ("28", "42501")


class PostgresSource:
    def __init__(self, url: str, batch_bytes: int) -> None:
        self._url = _with_options(url)
        self._batch_bytes = batch_bytes
        parts = urlsplit(url)
        self._name = f"the event store at {parts.hostname}:{parts.port or 5432}"

    def schema(self, query: EventQuery) -> pa.Schema:
        return pa.schema([EVENT_COLUMNS.field(name) for name in query.columns])

    async def read(self, query: EventQuery) -> Batches:
        """Rows in no order. A server that goes away, at the start or half-way, is a :class:`SourceUnavailable`."""
        schema = self.schema(query)
        columns = ", ".join(f'{EXPRESSIONS.get(name, name)} AS "{name}"' for name in query.columns)
        reading = _Reading(self)
        try:
            await reading.start(query, f"SELECT {columns} {_from(query)}")
            while (batch := await reading.next()) is not None:
                yield _in_schema(batch, schema)
        finally:
            await reading.close()

    async def count(self, query: EventQuery) -> int:
        return int(await self._scalar(query, f"SELECT count(*) {_from(query)}"))

    async def earliest(self, query: EventQuery) -> datetime | None:
        column = TIME_COLUMNS[query.select_by]
        # Ordered and cut rather than min(): the time index then gives the answer at its first matching entry.
        found: datetime | None = await self._scalar(
            query,
            f"SELECT {column} {_from(query)} ORDER BY {column} LIMIT 1",
        )
        return found.astimezone(UTC) if found is not None else None

    async def aclose(self) -> None:
        """Nothing is kept open between queries."""

    async def _scalar(self, query: EventQuery, sql: str) -> Any:
        reading = _Reading(self)
        try:
            await reading.start(query, sql)
            value = None
            while (batch := await reading.next()) is not None:
                if batch.num_rows:
                    value = batch.column(0)[0].as_py()
            return value
        finally:
            await reading.close()

    def connect(self) -> dbapi.Connection:
        return dbapi.connect(self._url)

    def options(self) -> dict[str, str]:
        return {StatementOptions.BATCH_SIZE_HINT_BYTES.value: str(self._batch_bytes)}

    def error(self, error: Exception) -> RunError:
        """What a driver's error means for a run. Its text may hold the URL, so only the SQLSTATE is passed on."""
        sqlstate = getattr(error, "sqlstate", None) or ""
        if sqlstate.startswith(DENIED):
            return Misconfigured(f"{self._name} refuses access (SQLSTATE {sqlstate}); check its user's permissions")
        # Once rows flow, the driver knows errors of the connection only as OSError.
        if isinstance(error, OSError) or not sqlstate or sqlstate.startswith(GONE):
            return SourceUnavailable(f"{self._name} does not answer, or went away while it was read")
        return Defect(f"{self._name} could not run the query (SQLSTATE {sqlstate})")


class _Reading:
    """One query on a connection and a thread of its own, so that its calls never overlap and can be cancelled."""

    def __init__(self, source: PostgresSource) -> None:
        self._source = source
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="postgres-source")
        self._connection: dbapi.Connection | None = None
        self._cursor: dbapi.Cursor | None = None
        self._batches: pa.RecordBatchReader | None = None

    async def start(self, query: EventQuery, sql: str) -> None:
        def start() -> None:
            self._connection = self._source.connect()
            self._cursor = self._connection.cursor()
            self._pass_names(query)
            self._cursor.adbc_statement.set_options(**self._source.options())
            self._cursor.execute(sql)
            self._batches = self._cursor.fetch_record_batch()

        await self._call(start)

    async def next(self) -> pa.RecordBatch | None:
        def following() -> pa.RecordBatch | None:
            assert self._batches is not None
            try:
                return self._batches.read_next_batch()
            except StopIteration:
                return None

        return await self._call(following)

    async def close(self) -> None:
        """End the query at the server, whatever the thread is doing with it, and wait for the thread."""

        def close() -> None:
            with suppress(AdbcError, OSError):  # the connection is gone, which is all that closing is for
                if self._cursor is not None:
                    self._cursor.close()
                if self._connection is not None:
                    self._connection.close()

        async def close_in_order() -> None:
            if self._cursor is not None:
                await asyncio.to_thread(self._cancel)
            await asyncio.get_running_loop().run_in_executor(self._thread, close)
            self._thread.shutdown(wait=False)

        # Shielded: a cancelled run must not leave its query running, nor its connection open.
        await asyncio.shield(close_in_order())

    def _cancel(self) -> None:
        assert self._cursor is not None
        with suppress(AdbcError, OSError):  # nothing was running any more
            self._cursor.adbc_cancel()

    def _pass_names(self, query: EventQuery) -> None:
        """Event names go to the server as bound values, in session settings: a parameter in the query itself would
        make the driver fetch the whole result before the first row."""
        assert self._cursor is not None
        for setting, names in (("include", query.include_events), ("exclude", query.exclude_events)):
            if names:
                self._cursor.execute(
                    "SELECT set_config('batch_exports.' || $1, $2, false)", (setting, json.dumps(list(names)))
                )
                self._cursor.fetchall()

    async def _call(self, function: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function)
        except (AdbcError, OSError) as error:
            raise self._source.error(error) from None


def _from(query: EventQuery) -> str:
    """FROM and WHERE. What is rendered here is typed: an integer, times, and column names from constants."""
    column = TIME_COLUMNS[query.select_by]
    conditions = [f"team_id = {int(query.project_id)}", f"{column} < {_literal(query.end)}"]
    if query.start is not None:
        conditions.append(f"{column} >= {_literal(query.start)}")
    if query.include_events:
        conditions.append(f"event IN ({_names('include')})")
    if query.exclude_events:
        conditions.append(f"event NOT IN ({_names('exclude')})")
    return f"FROM event_store.events WHERE {' AND '.join(conditions)}"


def _names(setting: str) -> str:
    return f"SELECT json_array_elements_text(current_setting('batch_exports.{setting}')::json)"


def _literal(moment: datetime) -> str:
    return f"timestamptz '{moment.astimezone(UTC).isoformat()}'"


def _in_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The same columns as declared: the driver marks JSON as an extension type, we by field metadata."""
    columns: Sequence[pa.Array[Any]] = [
        column.storage if isinstance(column, pa.ExtensionArray) else column for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(list(columns), schema=schema)


def _with_options(url: str) -> str:
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    options.setdefault("application_name", "batch-exports source")
    options.setdefault("connect_timeout", "10")
    options["options"] = " ".join(filter(None, (options.get("options"), SESSION_OPTIONS)))
    return urlunsplit(parts._replace(query=urlencode(options, quote_via=quote)))
