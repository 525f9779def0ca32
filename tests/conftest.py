"""Real services for every test: one embedded stack per test process, one fresh database per test that asks for it."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from pydantic import SecretStr

from app.crypto import new_key
from app.db.migrate import upgrade
from app.embedded import Stack, open_stack
from app.runtime import Runtime, open_runtime
from app.settings import Settings

TEMPLATE = "template_migrated"


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One stack per test process, with a migrated database to copy."""
    with asyncio.Runner() as runner:
        opening = open_stack(tmp_path_factory.mktemp("stack"), durable=False)
        running = runner.run(opening.__aenter__())
        runner.run(_execute(running, f"CREATE DATABASE {TEMPLATE}"))
        runner.run(upgrade(_on_database(running, TEMPLATE)))
        try:
            yield running
        finally:
            runner.run(opening.__aexit__(None, None, None))


@pytest.fixture
async def database_url(stack: Stack) -> AsyncIterator[str]:
    """A database of the test's own, at head."""
    name = f"test_{uuid4().hex}"
    await _execute(stack, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")
    yield _on_database(stack, name)
    await _execute(stack, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def settings(stack: Stack, database_url: str) -> Settings:
    """Settings of the test's own database, whatever the environment says."""
    return Settings(
        _env_file=None,
        database_url=SecretStr(database_url),
        redis_url=SecretStr(stack.redis_url),
        encryption_keys=[SecretStr(new_key())],
        log_level="WARNING",
    )


class Clock:
    """A clock that stands until it is set."""

    def __init__(self) -> None:
        self.now = datetime(2026, 6, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def runtime(settings: Settings, clock: Clock) -> AsyncIterator[Runtime]:
    async with open_runtime(settings, application_name="tests", clock=clock) as opened:
        yield opened


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """For a stack of the test's own."""
    return tmp_path / "stack"


def _on_database(stack: Stack, name: str) -> str:
    return f"{stack.database_url.rsplit('/', 1)[0]}/{name}"


async def _execute(stack: Stack, statement: str) -> None:
    connection = await asyncpg.connect(_on_database(stack, "postgres").replace("+asyncpg", ""), ssl=False)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()
