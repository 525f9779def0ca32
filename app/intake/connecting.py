"""The connection over which events are stored: made when it is needed, and made anew when it was lost."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import asyncpg

from app.events.store import GONE, connect, gone
from app.intake.incoming import Incoming
from app.intake.problems import Problem
from app.intake.storing import IntakeStore, Written
from app.settings import Settings

if TYPE_CHECKING:
    from app.events.store import Connection

CLOSE_LIMIT = 2.0
"""Seconds for a farewell."""


class ConnectedStore:
    """An :class:`IntakeStore` that outlives its connections. For one writer at a time."""

    def __init__(self, settings: Settings) -> None:
        self._dsn = settings.event_store_dsn
        self._connect_timeout = settings.database_connect_timeout.total_seconds()
        self._limit = settings.intake_commit_timeout.total_seconds()
        limit = str(round(self._limit * 1000))
        self._server_settings = {
            "application_name": "batch-exports intake",
            # A backend that waits for a lock does not notice that nobody waits for it any more.
            "statement_timeout": limit,
            "idle_in_transaction_session_timeout": limit,
        }
        self._connection: Connection | None = None

    async def write(self, events: Sequence[Incoming], problems: Sequence[Problem]) -> Written:
        """:raises app.errors.StoreUnavailable: when the store does not answer, or not in time."""
        try:
            async with asyncio.timeout(self._limit):
                if (kept := self._connection) is not None and not kept.is_closed():
                    with suppress(*_LOST):
                        return await IntakeStore(kept).write(events, problems)
                # That the store has ended a connection while it was idle shows at its next use. Whatever was stored
                # before it ended is passed over now.
                self._drop()
                self._connection = await connect(
                    self._dsn, connect_timeout=self._connect_timeout, server_settings=self._server_settings
                )
                return await IntakeStore(self._connection).write(events, problems)
        except GONE as error:
            self._drop()
            raise gone(error) from None
        except BaseException:
            # Where it was broken off nobody knows.
            self._drop()
            raise

    async def aclose(self) -> None:
        if self._connection is not None:
            with suppress(*GONE):
                await self._connection.close(timeout=CLOSE_LIMIT)

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
        self._connection = None


_LOST = (
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.AdminShutdownError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
"""The connection's own end, rather than the store's refusal."""
