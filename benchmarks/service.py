"""An embedded stack with a project and, if wanted, events in it."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import asyncpg
from pydantic import SecretStr

from app.db.migrate import upgrade
from app.embedded import Stack, open_stack
from app.events.sample import sample_lines
from app.runtime import Runtime, open_runtime
from app.settings import Settings
from app.tenants.service import create_organization, create_project
from benchmarks.processes import Usage, Watched

START, END = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 2, tzinfo=UTC)
"""What the sample events are spread over."""


@dataclass(frozen=True)
class Service:
    stack: Stack
    runtime: Runtime
    project_id: int
    directory: Path

    @property
    def env(self) -> dict[str, str]:
        return {**self.stack.env, "BATCH_EXPORTS_LOG_LEVEL": "WARNING"}

    @asynccontextmanager
    async def store(self) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
        """A plain connection to the event store."""
        connection = await asyncpg.connect(self.runtime.settings.event_store_dsn)
        try:
            yield connection
        finally:
            await connection.close()

    async def write_sample(self, rows: int) -> Path:
        path = self.directory / "events.jsonl"

        def write() -> None:
            with path.open("wb") as file:
                file.writelines(sample_lines(rows, START, END))

        await asyncio.to_thread(write)
        return path

    async def load(self, path: Path) -> Usage:
        """``events load``, in a process of its own."""
        process = Watched(["-m", "app.cli", "events", "load", str(path), "--project", str(self.project_id)], self.env)
        return await asyncio.to_thread(process.wait)


@asynccontextmanager
async def open_service() -> AsyncIterator[Service]:
    with tempfile.TemporaryDirectory(prefix="batch-exports-bench-") as name:
        async with open_stack(Path(name) / "stack") as stack:
            await upgrade(stack.database_url)
            settings = Settings(
                _env_file=None,
                database_url=SecretStr(stack.database_url),
                redis_url=SecretStr(stack.redis_url),
                encryption_keys=[SecretStr(stack.env["BATCH_EXPORTS_ENCRYPTION_KEYS"])],
                allowed_private_hosts=["127.0.0.1"],
            )
            async with open_runtime(settings, application_name="benchmarks") as runtime:
                async with runtime.sessions.begin() as session:
                    organization = await create_organization(session, "Benchmarks")
                    project_id = (await create_project(session, organization.id, "Benchmarks")).id
                yield Service(stack, runtime, project_id, Path(name))
