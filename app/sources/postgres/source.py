"""The event store in Postgres, read as Arrow.

ADBC turns the binary COPY stream into record batches in native code, in a thread of its own per query; the event loop
only hands them on.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

import asyncpg
import pyarrow as pa

from app.errors import Defect, Misconfigured, NoLongerKept, RunError, SourceUnavailable
from app.fingerprint import MODULUS, Fingerprint
from app.sources.base import EventQuery
from app.sources.columns import COLUMNS, REACH, field_of
from app.sources.postgres.events import Events
from app.sources.postgres.models import ModelSql, literal
from app.sources.postgres.persons import Persons
from app.sources.postgres.reading import Reading
from app.sources.postgres.sessions import Sessions
from app.sources.postgres.settling import Look, look_at, settled
from app.sources.postgres.values import Values
from app.streams import Batches

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
NOT_WHOLE: Final = "BE001"
"""Our own, of ``event_store.is_whole_since``."""
DENIED: Final = ("28", "3D", "42501")

MODELS: Final[Mapping[str, ModelSql]] = {"events": Events(), "persons": Persons(), "sessions": Sessions()}

INGESTED_ALWAYS: Final = frozenset({"persons", "sessions"})
"""Models whose rows are always selected by when they changed (the contract's section 6.3)."""


class PostgresSource:
    def __init__(self, url: str, batch_bytes: int) -> None:
        self._given_url = url
        self._url = _with_options(url)
        self._batch_bytes = batch_bytes
        self._name = f"the event store at {urlsplit(url).netloc.rpartition('@')[2] or 'the local socket'}"

    def schema(self, query: EventQuery) -> pa.Schema:
        if query.fields is not None:
            return pa.schema([field_of(field) for field in query.fields])
        columns = COLUMNS[query.model]
        return pa.schema([columns.field(name) for name in query.columns])

    async def settle(self, query: EventQuery, longest: timedelta) -> None:
        """Wait for late commits; see :mod:`app.sources.postgres.settling`. Usually that is one statement."""
        if query.select_by != "ingested_at" and query.model not in INGESTED_ALWAYS:
            return
        statement = look_at(self._model(query).tables, query.end)

        async def look() -> Look:
            return Look.of(await self._rows(statement))

        await settled(look, query.end, longest, self._name)

    async def read(self, query: EventQuery) -> Batches:
        """Rows in the query's order. A server that goes away, early or late, is a :class:`SourceUnavailable`."""
        schema = self.schema(query)
        values = Values()
        statement = _whole(query, self._model(query).select(query, values))
        reading = self._reading(values, query)
        try:
            await reading.start(statement)
            while (batch := await reading.next()) is not None:
                yield _in_schema(batch, schema)
        finally:
            await reading.close()

    async def count(self, query: EventQuery) -> int:
        values = Values()
        [row] = await self._rows(self._model(query).count(query, values), values)
        return int(row["rows"])

    async def fingerprint(self, query: EventQuery) -> Fingerprint:
        values = Values()
        [row] = await self._rows(_whole(query, self._model(query).fingerprint(query, values)), values, query)
        return Fingerprint(row["rows"], int(row["hash"] or 0) % MODULUS)

    async def earliest(self, query: EventQuery) -> datetime | None:
        values = Values()
        found = await self._rows(self._model(query).earliest(query, values), values)
        return found[0]["moment"].astimezone(UTC) if found else None

    async def aclose(self) -> None:
        """Nothing is kept open between queries."""

    def _model(self, query: EventQuery) -> ModelSql:
        return MODELS[query.model]

    async def _rows(
        self, sql: str, values: Values | None = None, query: EventQuery | None = None
    ) -> list[dict[str, Any]]:
        """The result of a small statement."""
        reading = self._reading(values or Values(), query)
        try:
            await reading.start(sql)
            rows: list[dict[str, Any]] = []
            while (batch := await reading.next()) is not None:
                rows += batch.to_pylist()
            return rows
        finally:
            await reading.close()

    def _reading(self, values: Values, query: EventQuery | None = None) -> Reading:
        async def explain(error: Exception, connected: bool) -> RunError:
            return await self._error(error, connected, query)

        return Reading(self._url, self._batch_bytes, values.settings, explain)

    async def _error(self, error: Exception, connected: bool, query: EventQuery | None) -> RunError:
        """What a driver's error means for a run. Its text may hold the URL, so only the SQLSTATE is passed on."""
        sqlstate = getattr(error, "sqlstate", None) if connected else await self._refusal()
        sqlstate = sqlstate or ""
        if query is not None and connected and sqlstate in ("", NOT_WHOLE):
            with suppress(RunError):
                if (missing := await self._no_longer_kept(query)) is not None:
                    return missing
        if sqlstate.startswith(DENIED):
            return Misconfigured(
                f"{self._name} refuses access (SQLSTATE {sqlstate}); check its user, password, database and permissions"
            )
        # Once rows flow, the driver knows errors of the connection only as OSError.
        if not sqlstate or sqlstate.startswith(GONE):
            return SourceUnavailable(f"{self._name} does not answer, or went away while it was read")
        return Defect(f"{self._name} could not run the query (SQLSTATE {sqlstate})")

    async def _no_longer_kept(self, query: EventQuery) -> NoLongerKept | None:
        found = await self._rows("SELECT pruned_before FROM event_store.retention")
        kept = found[0]["pruned_before"].astimezone(UTC) if found else None
        since = _needed_since(query)
        if kept is None or since is None or since >= kept:
            return None
        return NoLongerKept(
            f"{self._name} keeps what came in since {kept.isoformat(timespec='seconds')}, and the interval needs "
            "what came before that. What has been exported of it stays as it is"
        )

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


def _needed_since(query: EventQuery) -> datetime | None:
    """From when on the store must be whole; None: whatever there is will do."""
    return None if query.start is None or not query.whole else query.start - REACH.get(query.model, timedelta(0))


def _whole(query: EventQuery, statement: str) -> str:
    """The statement, failing where rows that it needs have been pruned: a run must not replace with less what it or
    another has exported.

    Before anything is deleted it is put on record that it will be, and a statement sees both or neither: so one that
    finds no such record has missed nothing.
    """
    since = _needed_since(query)
    if since is None:
        return statement
    return f"SELECT * FROM ({statement}) AS found WHERE event_store.is_whole_since({literal(since)})"  # noqa: S608  ours


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
