"""One query to Postgres: the driver's blocking calls, made on a thread, and ended from the event loop."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Lock
from typing import Final, TypeVar

import pyarrow as pa
import structlog
from adbc_driver_manager import Error as AdbcError
from adbc_driver_postgresql import StatementOptions, dbapi

from app.errors import RunError
from app.streams import see_through

T = TypeVar("T")

CANCEL_INTERVAL: Final = 0.2
"""Seconds between the first requests to end a query: one that comes just before a statement begins has no effect. Each
pause is twice the one before."""
LONGEST_INTERVAL: Final = 5.0
CLOSE_LIMIT: Final = 30.0
"""Seconds after which a query that does not end is left to itself, while it is asked on. A server may hang where
nothing interrupts it, waiting for its disk, and a run is to end all the same."""

_left: Final[set[asyncio.Task[None]]] = set()
"""Ends of queries that are under way: nobody else keeps one that has been left to itself."""

log = structlog.get_logger(__name__)


class Reading:
    """One query on a connection and a thread of its own, so that its calls never overlap and can be cancelled.

    ``settings`` are made for the session first (:class:`app.sources.postgres.values.Values`).
    """

    def __init__(
        self,
        url: str,
        batch_bytes: int,
        settings: Mapping[str, str],
        explain: Callable[[Exception, bool], Awaitable[RunError]],
    ) -> None:
        """``explain`` gives the error to raise for one of the driver's; its second argument: was there a connection."""
        self._url = url
        self._batch_bytes = batch_bytes
        self._settings = settings
        self._explain = explain
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="postgres-source")
        self._lock = Lock()
        """Keeps what is being closed from being cancelled."""
        self._closing = False
        self._exhausted = False
        self._connection: dbapi.Connection | None = None
        self._cursor: dbapi.Cursor | None = None
        self._batches: pa.RecordBatchReader | None = None

    async def start(self, sql: str) -> None:
        def start() -> None:
            self._connection = dbapi.connect(self._url)
            self._cursor = self._connection.cursor()
            for setting in self._settings.items():
                self._cursor.execute("SELECT set_config($1, $2, false)", setting)
                self._cursor.fetchall()
            if self._closing:
                return
            hint = StatementOptions.BATCH_SIZE_HINT_BYTES.value
            self._cursor.adbc_statement.set_options(**{hint: str(self._batch_bytes)})
            self._cursor.execute(sql)
            self._batches = self._cursor.fetch_record_batch()

        await self._call(start)

    async def next(self) -> pa.RecordBatch | None:
        """None: there are no more, now and for ever."""

        def following() -> pa.RecordBatch | None:
            assert self._batches is not None
            try:
                return self._batches.read_next_batch()
            except StopIteration:
                self._exhausted = True
                return None

        return await self._call(following)

    async def close(self) -> None:
        """End the query at the server, whatever the thread is doing with it, and wait for the thread, up to a limit."""
        self._closing = True
        closing = asyncio.create_task(self._close())
        _left.add(closing)
        closing.add_done_callback(_left.discard)
        # Seen through: a cancelled run must not leave its query running, nor its connection open.
        await see_through(self._closed(closing))

    async def _closed(self, closing: "asyncio.Task[None]") -> None:
        done, _ = await asyncio.wait({closing}, timeout=CLOSE_LIMIT)
        if done:
            closing.result()
        else:
            log.error("a query does not end, and is left to itself; look at the event store's server")

    async def _close(self) -> None:
        if not self._exhausted:
            # Merely closing the connection, the server would go on until it next wants to send.
            await asyncio.to_thread(self._cancel)
        closed = asyncio.get_running_loop().run_in_executor(self._thread, self._close_all)
        pause = CANCEL_INTERVAL
        while not (await asyncio.wait({closed}, timeout=pause))[0]:
            await asyncio.to_thread(self._cancel)
            pause = min(2 * pause, LONGEST_INTERVAL)
        self._thread.shutdown(wait=False)
        closed.result()

    def _close_all(self) -> None:
        with self._lock:
            cursor, self._cursor = self._cursor, None
        for opened in (self._batches, cursor, self._connection):
            # Errors mean that the connection is gone, which is all that closing is for.
            with suppress(AdbcError, pa.ArrowException, OSError, RuntimeError):
                if opened is not None:
                    opened.close()
        self._batches = self._connection = None

    def _cancel(self) -> None:
        with self._lock, suppress(AdbcError, OSError):  # nothing was running any more
            if self._cursor is not None:
                self._cursor.adbc_cancel()

    async def _call(self, function: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, function)
        except (AdbcError, pa.ArrowException, OSError) as error:
            raise await self._explain(error, self._connection is not None) from None
