"""The event store in Postgres, read as Arrow.

ADBC turns the binary COPY stream into record batches in native code, in a thread of its own per query; the event loop
only hands them on.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import asyncpg
import pyarrow as pa

from app.errors import Defect, Misconfigured, RunError, SourceUnavailable
from app.fingerprint import MODULUS, Fingerprint
from app.sources.base import EVENT_COLUMNS, EventQuery
from app.sources.postgres_reading import Reading
from app.sources.postgres_settling import LOOK, Look, settled
from app.streams import Batches

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

CONNECTION_OPTIONS: Final = {
    "application_name": "batch-exports source",
    "connect_timeout": "10",
    # A server that vanished without a word is noticed in half a minute, not in the system's two hours.
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "4",
}
PROBE_TIMEOUT: Final = 10.0

GONE: Final = ("08", "57", "53", "40")
"""SQLSTATE classes that pass: connection lost, operator intervention, out of resources, rolled back by a conflict."""
DENIED: Final = ("28", "3D", "42501")

UUID_HASH: Final = "sum(('x' || left(md5(uuid::text), 16))::bit(64)::bigint)::text"
"""As text, for its digits are more than a bigint's. Each number is signed: modulo 2^64 that is the same."""


class PostgresSource:
    def __init__(self, url: str, batch_bytes: int) -> None:
        self._given_url = url
        self._url = _with_options(url)
        self._batch_bytes = batch_bytes
        self._name = f"the event store at {urlsplit(url).netloc.rpartition('@')[2] or 'the local socket'}"

    def schema(self, query: EventQuery) -> pa.Schema:
        return pa.schema([EVENT_COLUMNS.field(name) for name in query.columns])

    async def settle(self, query: EventQuery, longest: timedelta) -> None:
        """Wait for late commits; see :mod:`app.sources.postgres_settling`. Usually that is one statement."""
        if query.select_by != "ingested_at":
            return

        async def look() -> Look:
            return Look.of(await self._rows(LOOK.format(end=_literal(query.end))))

        await settled(look, query.end, longest, self._name)

    async def read(self, query: EventQuery) -> Batches:
        """Rows in no order. A server that goes away, at the start or half-way, is a :class:`SourceUnavailable`."""
        schema = self.schema(query)
        columns = ", ".join(f'{EXPRESSIONS.get(name, name)} AS "{name}"' for name in query.columns)
        reading = self._reading(query)
        try:
            await reading.start(f"SELECT {columns} {_from(query)}")
            while (batch := await reading.next()) is not None:
                yield _in_schema(batch, schema)
        finally:
            await reading.close()

    async def count(self, query: EventQuery) -> int:
        [row] = await self._rows(f"SELECT count(*) AS rows {_from(query)}", query)
        return int(row["rows"])

    async def fingerprint(self, query: EventQuery) -> Fingerprint:
        [row] = await self._rows(f"SELECT count(*) AS rows, {UUID_HASH} AS hash {_from(query)}", query)
        return Fingerprint(row["rows"], int(row["hash"] or 0) % MODULUS)

    async def earliest(self, query: EventQuery) -> datetime | None:
        column = TIME_COLUMNS[query.select_by]
        # Ordered and cut rather than min(): the time index then gives the answer at its first matching entry.
        found = await self._rows(f"SELECT {column} AS moment {_from(query)} ORDER BY {column} LIMIT 1", query)
        return found[0]["moment"].astimezone(UTC) if found else None

    async def aclose(self) -> None:
        """Nothing is kept open between queries."""

    async def _rows(self, sql: str, query: EventQuery | None = None) -> list[dict[str, Any]]:
        """The result of a small statement; ``query`` is whose events it selects, if it does."""
        reading = self._reading(query)
        try:
            await reading.start(sql)
            rows: list[dict[str, Any]] = []
            while (batch := await reading.next()) is not None:
                rows += batch.to_pylist()
            return rows
        finally:
            await reading.close()

    def _reading(self, query: EventQuery | None) -> Reading:
        names = {"include": query.include_events, "exclude": query.exclude_events} if query is not None else {}
        settings = {name: _storable(events) for name, events in names.items() if events}
        return Reading(self._url, self._batch_bytes, settings, self._error)

    async def _error(self, error: Exception, connected: bool) -> RunError:
        """What a driver's error means for a run. Its text may hold the URL, so only the SQLSTATE is passed on."""
        sqlstate = getattr(error, "sqlstate", None) if connected else await self._refusal()
        sqlstate = sqlstate or ""
        if sqlstate.startswith(DENIED):
            return Misconfigured(
                f"{self._name} refuses access (SQLSTATE {sqlstate}); check its user, password, database and permissions"
            )
        # Once rows flow, the driver knows errors of the connection only as OSError.
        if not sqlstate or sqlstate.startswith(GONE):
            return SourceUnavailable(f"{self._name} does not answer, or went away while it was read")
        return Defect(f"{self._name} could not run the query (SQLSTATE {sqlstate})")

    async def _refusal(self) -> str | None:
        """Why no connection was made. Of that the driver tells no SQLSTATE, only words in the server's language."""
        try:
            connection = await asyncpg.connect(self._given_url, timeout=PROBE_TIMEOUT)
        except asyncpg.PostgresError as error:
            return error.sqlstate
        except Exception:
            return None  # no answer, or an URL that only the other driver understands
        connection.terminate()
        return None


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


def _storable(events: Sequence[str]) -> list[str]:
    """Names that Postgres can hold. Others are no event's name, and would make it refuse the query."""

    def storable(name: str) -> bool:
        return "\x00" not in name and not any("\ud800" <= character <= "\udfff" for character in name)

    return [name for name in events if storable(name)]


def _in_schema(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """The same columns as declared: the driver marks JSON as an extension type, we by field metadata."""
    columns: Sequence[pa.Array[Any]] = [
        column.storage if isinstance(column, pa.ExtensionArray) else column for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(list(columns), schema=schema)


def _with_options(url: str) -> str:
    parts = urlsplit(url)
    options = {**CONNECTION_OPTIONS, **dict(parse_qsl(parts.query))}
    options["options"] = " ".join(filter(None, (options.get("options"), SESSION_OPTIONS)))
    return urlunsplit(parts._replace(query=urlencode(options, quote_via=quote)))
