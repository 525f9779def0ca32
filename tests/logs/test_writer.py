"""Lines are stored many at a time, and whatever happens to them, no run is slowed or failed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.engine import Sessions
from app.logs import writer as writer_module
from app.logs.lines import MAX_MESSAGE, Level, Line
from app.logs.writer import LogWriter, open_log_writer
from app.models import LogEntry
from app.runtime import Runtime
from app.settings import Settings
from tests.conftest import Clock
from tests.http.statements import counting

EXPORT, RUN = UUID(int=1), UUID(int=2)


def line(message: str = "hello", run_id: UUID | None = RUN) -> Line:
    return Line(EXPORT, run_id, Level.INFO, message)


def hurried(settings: Settings, **values: Any) -> Settings:
    return settings.model_copy(update={"log_flush_interval": timedelta(milliseconds=5), **values})


def patient(settings: Settings) -> Settings:
    return settings.model_copy(update={"log_flush_interval": timedelta(hours=1)})


def dropped() -> float:
    return REGISTRY.get_sample_value("batch_exports_log_lines_dropped_total") or 0


async def stored(runtime: Runtime) -> list[LogEntry]:
    async with runtime.sessions() as session:
        return list(await session.scalars(select(LogEntry).order_by(LogEntry.id)))


async def until_stored(runtime: Runtime, count: int) -> list[LogEntry]:
    async with asyncio.timeout(20):
        while len(entries := await stored(runtime)) < count:
            await asyncio.sleep(0.01)
    return entries


class Troubled:
    """Sessions that fail so often as told; with ``committing``, only after the commit."""

    def __init__(self, sessions: Sessions, failures: int, error: Exception) -> None:
        self._sessions = sessions
        self._error = error
        self.failures = failures
        self.tries = 0

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSession]:
        self.tries += 1
        if self.tries <= self.failures:
            raise self._error
        async with self._sessions.begin() as session:
            yield session


def troubled(runtime: Runtime, failures: int, error: Exception | None = None) -> Any:
    return Troubled(runtime.sessions, failures, error or ConnectionRefusedError("database away"))


async def test_a_line_is_stored_after_a_moment_as_it_was_written(
    runtime: Runtime, settings: Settings, clock: Clock
) -> None:
    async with open_log_writer(runtime.sessions, clock, hurried(settings)) as writer:
        writer.write(line("for the run"))
        writer.write(Line(EXPORT, None, Level.WARNING, "for the export"))
        entries = await until_stored(runtime, 2)
    assert [(one.export_id, one.run_id, one.level, one.message, one.timestamp) for one in entries] == [
        (EXPORT, RUN, "INFO", "for the run", clock.now),
        (EXPORT, None, "WARNING", "for the export", clock.now),
    ]


async def test_many_lines_make_few_statements_and_keep_their_order(runtime: Runtime, settings: Settings) -> None:
    with counting(runtime) as statements:
        async with open_log_writer(runtime.sessions, runtime.clock, patient(settings)) as writer:
            for number in range(2 * writer_module.BATCH + 1):
                writer.write(line(str(number)))
    assert len(statements) == 3
    assert [one.message for one in await stored(runtime)] == [str(number) for number in range(1001)]


async def test_a_full_batch_is_not_kept_waiting(runtime: Runtime, settings: Settings) -> None:
    async with open_log_writer(runtime.sessions, runtime.clock, patient(settings)) as writer:
        for _ in range(writer_module.BATCH):
            writer.write(line())
        await until_stored(runtime, writer_module.BATCH)


async def test_what_is_written_last_is_stored_before_the_end(runtime: Runtime, settings: Settings) -> None:
    async with open_log_writer(runtime.sessions, runtime.clock, patient(settings)) as writer:
        writer.write(line("goodbye"))
    assert [one.message for one in await stored(runtime)] == ["goodbye"]


async def test_a_full_queue_drops_further_lines_and_counts_them(runtime: Runtime, settings: Settings) -> None:
    before = dropped()
    writer = LogWriter(runtime.sessions, runtime.clock, hurried(settings, log_queue_size=3))
    for number in range(5):
        writer.write(line(str(number)))
    assert dropped() == before + 2
    await writer.drain()
    assert [one.message for one in await stored(runtime)] == ["0", "1", "2"]


async def test_a_short_outage_loses_no_line(runtime: Runtime, settings: Settings) -> None:
    before = dropped()
    sessions = troubled(runtime, writer_module.TRIES - 1)
    async with open_log_writer(cast(Sessions, sessions), runtime.clock, hurried(settings)) as writer:
        writer.write(line())
        await until_stored(runtime, 1)
    assert (sessions.tries, dropped()) == (writer_module.TRIES, before)


async def test_a_long_outage_drops_lines_and_counts_them_and_later_ones_are_stored(
    runtime: Runtime, settings: Settings
) -> None:
    before = dropped()
    sessions = troubled(runtime, writer_module.TRIES)
    async with open_log_writer(cast(Sessions, sessions), runtime.clock, hurried(settings)) as writer:
        writer.write(line("lost"))
        async with asyncio.timeout(20):
            while dropped() == before:
                await asyncio.sleep(0.005)
        writer.write(line("kept"))
        await until_stored(runtime, 1)
    assert dropped() == before + 1
    assert [one.message for one in await stored(runtime)] == ["kept"]


async def test_an_error_that_is_a_bug_costs_its_batch_and_not_the_writer(runtime: Runtime, settings: Settings) -> None:
    sessions = troubled(runtime, 1, RuntimeError("a bug"))
    async with open_log_writer(cast(Sessions, sessions), runtime.clock, hurried(settings)) as writer:
        writer.write(line("lost"))
        async with asyncio.timeout(20):
            while not sessions.tries:
                await asyncio.sleep(0.005)
        writer.write(line("kept"))
        await until_stored(runtime, 1)


async def test_at_the_end_a_dead_database_is_asked_once(runtime: Runtime, settings: Settings) -> None:
    before = dropped()
    sessions = troubled(runtime, 100)
    writer = LogWriter(cast(Sessions, sessions), runtime.clock, patient(settings))
    for _ in range(2 * writer_module.BATCH):
        writer.write(line())
    await writer.drain()
    assert (sessions.tries, dropped()) == (1, before + 2 * writer_module.BATCH)


async def test_a_hanging_database_holds_up_neither_writing_nor_the_end(
    runtime: Runtime, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Hanging:
        @asynccontextmanager
        async def begin(self) -> AsyncIterator[AsyncSession]:
            await asyncio.Event().wait()
            async with runtime.sessions.begin() as session:
                yield session

    monkeypatch.setattr(writer_module, "FLUSH_LIMIT", 0.02)
    async with asyncio.timeout(20):
        async with open_log_writer(cast(Sessions, Hanging()), runtime.clock, hurried(settings)) as writer:
            writer.write(line())


async def test_what_postgres_cannot_hold_is_left_out(runtime: Runtime, settings: Settings) -> None:
    async with open_log_writer(runtime.sessions, runtime.clock, patient(settings)) as writer:
        writer.write(line("nul \x00 and half \ud800 a character"))
        writer.write(line("x" * (MAX_MESSAGE + 1), uuid4()))
    [clean, short] = await stored(runtime)
    assert clean.message == "nul  and half ? a character"
    assert short.message == "x" * (MAX_MESSAGE - 1) + "…"
