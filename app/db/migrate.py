"""The schema, brought to head from code."""

import asyncio
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

import migrations


async def upgrade(database_url: str) -> str:
    """Run what migrations are missing; the revision the database is at then. Safe from several places at once."""
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("sqlalchemy.url", database_url.replace("%", "%%"))
    # Alembic runs an event loop of its own, which needs a thread of its own.
    await asyncio.to_thread(command.upgrade, config, "head")
    return str(ScriptDirectory.from_config(config).get_current_head())
