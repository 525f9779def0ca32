"""Alembic's entry. Online only: a migration is always run against the database it changes."""

import asyncio

from alembic import context
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

from app.db.base import Base
from app.models import EVENT_STORE_SCHEMA
from app.settings import Settings

# "batch". Several processes may migrate at once: one does the work, the others wait and find it done.
ADVISORY_LOCK = 0x6261746368


def _url() -> str:
    return context.config.get_main_option("sqlalchemy.url") or Settings().database_url.get_secret_value()


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        include_schemas=True,
        include_name=lambda name, kind, _: kind != "schema" or name in (None, EVENT_STORE_SCHEMA),
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
        context.run_migrations()


async def _run() -> None:
    engine = create_async_engine(_url(), poolclass=pool.NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_migrate)
    finally:
        await engine.dispose()


asyncio.run(_run())
