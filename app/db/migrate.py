"""The schema: brought to head from code, and checked."""

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

import migrations


async def upgrade(database_url: str) -> str:
    """Run what migrations are missing; the revision the database is at then. Safe from several places at once."""
    config = config_for(database_url)
    # Alembic runs an event loop of its own, which needs a thread of its own.
    await asyncio.to_thread(command.upgrade, config, "head")
    return str(ScriptDirectory.from_config(config).get_current_head())


def is_behind(connection: Connection) -> bool:
    """Whether migrations are missing. Those of a newer version, which this one does not know, are nobody's lack: in a
    rolling upgrade the schema comes first."""
    current = MigrationContext.configure(connection).get_current_revision()
    scripts = ScriptDirectory.from_config(_config())
    known = {script.revision for script in scripts.walk_revisions()}
    return current is None or (current in known and current != scripts.get_current_head())


def config_for(database_url: str) -> Config:
    """Alembic's config for one database."""
    config = _config()
    config.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))
    return config


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    return config
