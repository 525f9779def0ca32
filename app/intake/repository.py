"""The SQL of what was wrong with events. It lies in the event store, which may be another database."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg

from app.models import EVENT_STORE_SCHEMA
from app.settings import Settings

_PAGE: Final = f"""
SELECT id, code, detail, stored, event, distinct_id, event_uuid, created_at FROM {EVENT_STORE_SCHEMA}.ingestion_errors
WHERE team_id = ANY ($1::int[]) ORDER BY id DESC LIMIT $2 OFFSET $3
"""  # noqa: S608  constants
_COUNT: Final = f"SELECT count(*) FROM {EVENT_STORE_SCHEMA}.ingestion_errors WHERE team_id = ANY ($1::int[])"  # noqa: S608


class IngestionErrors:
    """Read over a connection of its own: people look at them now and then."""

    def __init__(self, settings: Settings) -> None:
        self._dsn = settings.event_store_dsn
        self._timeout = settings.database_connect_timeout.total_seconds()

    async def page(
        self, project_ids: Sequence[int], limit: int, offset: int
    ) -> tuple[Sequence[Mapping[str, Any]], int]:
        """Newest first, and how many there are in all."""
        connection = await asyncpg.connect(
            self._dsn,
            timeout=self._timeout,
            command_timeout=self._timeout,
            server_settings={"timezone": "UTC", "application_name": "batch-exports api"},
        )
        try:
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                count = await connection.fetchval(_COUNT, list(project_ids))
                rows = await connection.fetch(_PAGE, list(project_ids), limit, offset)
        finally:
            await connection.close(timeout=self._timeout)
        return [dict(row) for row in rows], count
