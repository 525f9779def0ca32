"""Real services for every test: one embedded stack per test process, one fresh database per test that asks for it."""

import asyncio
import gc
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import asyncpg
import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr

from app import network
from app.crypto import new_key
from app.db.migrate import upgrade
from app.embedded import Stack, open_stack
from app.runtime import Runtime, open_runtime
from app.settings import Settings
from tests.apps import app_on
from tests.http.callers import Tenant, make_tenant, open_client

# By itself Python looks through all that has been imported time and again: a sixth of the time that tests take.
gc.set_threshold(50_000, 20, 100)

TEMPLATE = "template_migrated"
ROOM = 8 * 1024**3
"""Bytes. Several test processes, each with a write-ahead log and the objects of its tests."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes minutes comes first, so that nobody waits for it in the end."""
    items.sort(key=lambda item: item.get_closest_marker("first") is None)


def pytest_collection_finish() -> None:
    # What is there now stays: it need not be looked through again.
    gc.freeze()


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """One stack per test process, with a migrated database to copy."""
    # Outside pytest's own directory, which the next session closes to all users but its own; Postgres runs as another.
    temporary = tempfile.TemporaryDirectory(prefix="batch-exports-tests-", dir=_in_memory())
    with temporary as directory, asyncio.Runner() as runner:
        opening = open_stack(Path(directory), durable=False)
        running = runner.run(opening.__aenter__())
        runner.run(_execute(running, f"CREATE DATABASE {TEMPLATE}"))
        runner.run(upgrade(_on_database(running, TEMPLATE)))
        try:
            yield running
        finally:
            runner.run(opening.__aexit__(None, None, None))


def _in_memory() -> Path | None:
    """Where files never reach a disk, if there is plenty of room: every test has hundreds, of its own database. None:
    where temporary files are."""
    shared = Path("/dev/shm")
    roomy = shared.is_dir() and os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > ROOM
    return shared if roomy else None


@pytest.fixture
async def database_url(stack: Stack) -> AsyncIterator[str]:
    """A database of the test's own, at head."""
    name = f"test_{uuid4().hex}"
    # Of a template so small, copying files costs half of what writing its pages to the log does.
    await _execute(stack, f"CREATE DATABASE {name} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY")
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
        allowed_private_hosts=["127.0.0.1", "localhost"],
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
async def store(settings: Settings) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    """A connection of the test's own to the event store."""
    connection = await asyncpg.connect(settings.event_store_dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def locked(settings: Settings) -> AsyncIterator[None]:
    """Whoever reads events waits, while the test goes on."""
    other = await asyncpg.connect(settings.event_store_dsn)
    async with other.transaction():
        await other.execute("LOCK TABLE event_store.events IN ACCESS EXCLUSIVE MODE")
        yield
    await other.close()


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


@pytest.fixture
def app(runtime: Runtime) -> FastAPI:
    """The application on the test's runtime: its database, its clock."""
    return app_on(runtime)


@pytest.fixture
async def tenant(runtime: Runtime) -> Tenant:
    """An organization with a project and a key that may do everything."""
    async with runtime.sessions.begin() as session:
        return await make_tenant(session)


@pytest.fixture
async def api(app: FastAPI, tenant: Tenant) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the tenant's, at the tenant's project."""
    async with open_client(app, tenant) as client:
        yield client


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, tuple[str, ...]]:
    """What names resolve to in this process, instead of what the world says; a test may change it."""
    table: dict[str, tuple[str, ...]] = {
        "localhost": ("127.0.0.1",),
        "db.example.com": ("93.184.216.34",),
        "internal.example.com": ("10.1.2.3",),
    }

    async def resolve(host: str) -> tuple[str, ...]:
        if host not in table:
            raise OSError("no such name")
        return table[host]

    monkeypatch.setattr(network, "resolve_by_system", resolve)
    return table
