"""An attempt at a run, and what may go wrong with it."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, cast
from uuid import UUID

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession

from app.db.engine import Sessions
from app.destinations.base import Fence, Written
from app.logs.lines import Line
from app.models import Run
from app.pipeline import execute as execute_module
from app.pipeline.deliver import Delivered
from app.pipeline.execute import Executor
from app.runs.claim import Claim
from app.runs.claims import ClaimRepository
from app.runtime import Runtime
from app.scheduling.intervals import Window
from app.settings import Settings
from tests.factories import add_event, make_export, utc

START = utc(2026, 1, 1)
WINDOW = Window(START, utc(2026, 1, 1, 1))
Deliver = Callable[[Runtime, Claim, Fence], Awaitable[Delivered]]


class Unreliable:
    """Sessions that commit, and then, so often as told, lose the answer."""

    def __init__(self, sessions: Sessions, failures: int) -> None:
        self._sessions = sessions
        self.failures = failures

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncSession]:
        async with self._sessions.begin() as session:
            yield session
        if self.failures:
            self.failures -= 1
            raise ConnectionResetError("the answer to the commit was lost")


def hurried(settings: Settings, **values: Any) -> Settings:
    usual = {"retry_backoff_initial": timedelta(hours=1), "heartbeat_interval": timedelta(milliseconds=20)}
    return settings.model_copy(update={**usual, **values})


async def claimed(runtime: Runtime, events: int = 3) -> tuple[Executor, Claim]:
    runtime = replace(runtime, settings=hurried(runtime.settings))
    async with runtime.sessions.begin() as session:
        export = await make_export(session, runtime.cipher)
        for minute in range(events):
            await add_event(session, export.project_id, START + timedelta(minutes=minute))
        await ClaimRepository(session).add(export, [WINDOW], timedelta(0))
    executor = Executor(runtime, "worker-1")
    claim = await executor.claim()
    assert claim is not None
    return executor, claim


def losing_answers(executor: Executor, failures: int) -> Executor:
    sessions = Unreliable(executor.runtime.sessions, failures)
    return replace(executor, runtime=replace(executor.runtime, sessions=cast(Sessions, sessions)))


def deliver_with(monkeypatch: pytest.MonkeyPatch, deliver: Deliver) -> None:
    monkeypatch.setattr(execute_module, "deliver", deliver)


def failing_with(error: Exception) -> Deliver:
    async def deliver(runtime: Runtime, claim: Claim, fence: Fence) -> Delivered:
        raise error

    return deliver


async def cancelled_meanwhile(runtime: Runtime, claim: Claim, fence: Fence) -> Delivered:
    """A delivery that is done when somebody has cancelled the run."""
    async with runtime.sessions.begin() as session:
        await session.execute(text("UPDATE runs SET status = 'Cancelled'"))
    return Delivered(Written(1, 1))


async def row(executor: Executor, run_id: UUID) -> Run:
    async with executor.runtime.sessions() as session:
        return await session.get_one(Run, run_id)


@dataclass
class Kept:
    """A log that keeps its lines."""

    lines: list[Line] = field(default_factory=list)

    def write(self, line: Line) -> None:
        self.lines.append(line)


async def told(executor: Executor, claim: Claim) -> list[tuple[str, str]]:
    """Level and message of what an execution writes for the people whose export it is."""
    log = Kept()
    await replace(executor, logs=log).execute(claim)
    assert {(line.export_id, line.run_id) for line in log.lines} == {(claim.export_id, claim.run_id)}
    return [(line.level.value, line.message) for line in log.lines]


def completed_so_far() -> float:
    labels = {"status": "Completed", "destination": "NoOp"}
    return REGISTRY.get_sample_value("batch_exports_runs_finished_total", labels) or 0
