"""Migrations make the very tables that the models describe, and can be taken back."""

import asyncio

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection

from app.db.base import Base
from app.db.migrate import config_for, upgrade
from app.models import EVENT_STORE_SCHEMA
from app.runtime import Runtime


def differences(connection: Connection) -> list[object]:
    options = {
        "include_schemas": True,
        "include_name": lambda name, kind, _: kind != "schema" or name in (None, EVENT_STORE_SCHEMA),
    }
    return list(compare_metadata(MigrationContext.configure(connection, opts=options), Base.metadata))


async def test_migrations_and_models_agree(runtime: Runtime) -> None:
    async with runtime.engine.connect() as connection:
        assert await connection.run_sync(differences) == []


async def test_every_migration_can_be_taken_back_and_made_again(runtime: Runtime) -> None:
    url = runtime.settings.database_url.get_secret_value()
    await asyncio.to_thread(command.downgrade, config_for(url), "base")
    await upgrade(url)
    async with runtime.engine.connect() as connection:
        assert await connection.run_sync(differences) == []
