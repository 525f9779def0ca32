"""Worker processes as the system starts them, and the rows they work on."""

import asyncio
import itertools
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from sqlalchemy import select, text

from app.models import Run
from app.runs.claims import ClaimRepository
from app.runtime import Runtime
from app.scheduling.intervals import Window
from app.settings import Settings
from tests import preloaded
from tests.factories import add_event, make_export, utc
from tests.preloaded import Process

DEADLINE = 30.0
"""Seconds after which a test has failed rather than being slow."""
HASTE = {
    "lease_ttl": "3",
    "heartbeat_interval": "0.3",
    "worker_poll_interval": "0.2",
    "tick_interval": "1",
    "settle_delay": "0",
    "schedule_jitter": "0",
    "retry_backoff_max": "0.1",
    "worker_shutdown_grace": "0.2",
    "log_level": "INFO",
}
START = utc(2026, 1, 1, 5)
WINDOW = Window(START, utc(2026, 1, 1, 6))

_databases = itertools.cycle(range(1, 16))


@dataclass(frozen=True)
class Worker:
    process: Process
    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    async def says(self, words: str, times: int = 1) -> None:
        """Wait until it has said ``words`` so often."""
        await until(lambda: self.log.count(words) >= times, lambda: f"{words!r} not in the log:\n{self.log}")

    async def died(self) -> None:
        """Wait until it has ended, whoever saw to that."""
        await until(lambda: self.process.returncode is not None, lambda: self.log)

    async def kill(self) -> None:
        self.process.kill()
        await self.process.wait()

    async def report(self) -> None:
        """For whoever reads of a failed test: what it has said, and what it is doing."""
        if self.process.returncode is None:
            self.process.send_signal(preloaded.TELL)
            with suppress(AssertionError):
                await self.says(preloaded.TOLD)
        sys.stderr.write(f"{self.log_file.name}:\n{self.log}\n")

    async def terminate(self) -> int:
        """SIGTERM; the exit status."""
        self.process.terminate()
        return await asyncio.wait_for(self.process.wait(), DEADLINE)


@dataclass(frozen=True)
class Workers:
    """Starts workers on a test's database, all of them with the same hints."""

    env: dict[str, str]
    directory: Path

    @asynccontextmanager
    async def start(self, *, at: tuple[str, int, str] | None = None, **settings: str) -> AsyncIterator[Worker]:
        """A worker; ended with SIGTERM if it still runs, and expected to end well then.

        ``at``: a named moment, which time it is reached, and the signal that the worker sends itself then.
        """
        command = ("worker",) if at is None else ("tests.faults.process", *(str(part) for part in at))
        log_file = self.directory / f"worker-{len(list(self.directory.iterdir()))}.log"
        own = {f"BATCH_EXPORTS_{name.upper()}": value for name, value in {**HASTE, **settings}.items()}
        with log_file.open("wb") as log:
            process = await preloaded.start(*command, env={**self.env, **own}, stdout=log, stderr=log)
        worker = Worker(process, log_file)
        try:
            yield worker
            if process.returncode is None:
                assert await worker.terminate() == 0, worker.log
        except BaseException:
            await worker.report()
            raise
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
                await process.wait()


def workers_on(settings: Settings, directory: Path) -> Workers:
    env = {name: value for name, value in os.environ.items() if not name.startswith("BATCH_EXPORTS_")}
    # Hints of other tests' workers are none of ours.
    redis_url = f"{settings.redis_url.get_secret_value()}/{next(_databases)}"
    keys = ",".join(key.get_secret_value() for key in settings.encryption_keys)
    directory.mkdir()
    return Workers(
        {
            **env,
            "BATCH_EXPORTS_DATABASE_URL": settings.database_url.get_secret_value(),
            "BATCH_EXPORTS_REDIS_URL": redis_url,
            "BATCH_EXPORTS_ENCRYPTION_KEYS": keys,
            "BATCH_EXPORTS_ALLOWED_PRIVATE_HOSTS": ",".join(settings.allowed_private_hosts),
        },
        directory,
    )


async def until(condition: Callable[[], bool], otherwise: Callable[[], str] = lambda: "not in time") -> None:
    try:
        async with asyncio.timeout(DEADLINE):
            while not condition():
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(otherwise()) from None


async def add_run(
    runtime: Runtime, destination_type: str = "NoOp", config: dict[str, Any] | None = None, *, events: int = 1
) -> UUID:
    """A run that is ready, with one event in its window, or none: while events are held there can be no new ones."""
    async with runtime.sessions.begin() as session:
        export = await make_export(
            session, runtime.cipher, destination_type=destination_type, config=config, next_start=utc(2030, 1, 1)
        )
        for minute in range(events):
            await add_event(session, export.project_id, START + timedelta(minutes=minute))
        [run_id] = await ClaimRepository(session).add(export, [WINDOW], timedelta(0))
    return run_id


async def the_run(runtime: Runtime, backfill_id: UUID | None = None) -> UUID:
    """The one there is, once there is one; of a backfill, if one is given."""
    query = select(Run.id) if backfill_id is None else select(Run.id).where(Run.backfill_id == backfill_id)
    async with asyncio.timeout(DEADLINE):
        while True:
            async with runtime.sessions() as session:
                if (run_id := (await session.scalars(query)).one_or_none()) is not None:
                    return run_id
            await asyncio.sleep(0.02)


async def read_run(runtime: Runtime, run_id: UUID) -> Run:
    async with runtime.sessions() as session:
        return await session.get_one(Run, run_id)


async def run_that(runtime: Runtime, run_id: UUID, condition: Callable[[Run], bool], deadline: float = DEADLINE) -> Run:
    """The run, once the condition holds."""
    try:
        async with asyncio.timeout(deadline):
            while not condition(run := await read_run(runtime, run_id)):
                await asyncio.sleep(0.02)
    except TimeoutError:
        raise AssertionError(f"{run.status} {run.attempt=} {run.epoch=} {run.owner=} {run.latest_error=}") from None
    return run


async def started(runtime: Runtime, run_id: UUID, epoch: int = 1) -> Run:
    """The run, once it is claimed and its query waits for the held events."""
    run = await run_that(runtime, run_id, lambda run: run.epoch == epoch and run.owner is not None)
    async with asyncio.timeout(DEADLINE):
        while not await waiting_queries(runtime):
            await asyncio.sleep(0.02)
    return run


async def ended(runtime: Runtime, run_id: UUID, deadline: float = DEADLINE) -> Run:
    return await run_that(runtime, run_id, lambda run: run.finished_at is not None, deadline)


async def waiting_queries(runtime: Runtime) -> int:
    """How many queries of runs wait for the events."""
    async with runtime.sessions() as session:
        query = text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name = 'batch-exports source' AND wait_event_type = 'Lock'"
        )
        return int((await session.scalars(query)).one())


@asynccontextmanager
async def held_events(runtime: Runtime) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Nobody can read events until the yielded function is called, or the block is left: runs last as long as a test
    wants."""
    async with runtime.engine.connect() as connection:
        # For as long as it takes: a worker may be given all of the time that an idle transaction has.
        await connection.execute(text("SET LOCAL idle_in_transaction_session_timeout = 0"))
        await connection.execute(text("LOCK TABLE event_store.events IN ACCESS EXCLUSIVE MODE"))

        async def release() -> None:
            await connection.rollback()

        yield release
