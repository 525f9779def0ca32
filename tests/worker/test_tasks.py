"""Hints and ticks: at once, once at a time, and never the end of the process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast
from uuid import UUID, uuid4

import pytest

from app.backfills.advance import Advancer
from app.scheduling.tick import Ticked, Ticker
from worker.advances import AT_ONCE, Advances
from worker.pool import RunPool
from worker.tasks import Works, advance, tick, wake


@dataclass
class Passes:
    """Stands for the advancer: every pass waits until it is let go."""

    begun: list[UUID] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    outcome: UUID | Exception | None = None

    async def advance(self, backfill_id: UUID) -> UUID | None:
        self.begun.append(backfill_id)
        await self.go.wait()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@dataclass
class Ticks:
    outcome: Ticked | Exception

    async def tick(self) -> Ticked:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@dataclass
class Bell:
    rung: int = 0

    def ring(self) -> None:
        self.rung += 1


@asynccontextmanager
async def working(
    passes: Passes,
    outcome: Ticked | Exception = Ticked(0, 0, [], []),  # noqa: B008  frozen
) -> AsyncIterator[tuple[Works, Bell]]:
    bell = Bell()
    advances = Advances(cast(Advancer, passes), bell.ring)
    yield Works(cast(RunPool, bell), cast(Ticker, Ticks(outcome)), advances), bell
    await advances.stop()


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_hint_for_a_run_rings() -> None:
    async with working(Passes()) as (works, bell):
        await wake({"works": works}, str(uuid4()))
        assert bell.rung == 1


async def test_a_hint_for_a_backfill_waits_for_nothing_and_rings_for_its_run() -> None:
    passes, backfill_id = Passes(outcome=uuid4()), uuid4()
    async with working(passes) as (works, bell):
        await advance({"works": works}, str(backfill_id))
        await settle()
        assert (passes.begun, bell.rung) == ([backfill_id], 0)
        passes.go.set()
        await settle()
        assert bell.rung == 1


async def test_a_backfill_is_moved_on_once_at_a_time() -> None:
    passes, backfill_id = Passes(), uuid4()
    async with working(passes) as (works, _):
        for _ in range(3):
            works.advances.start(backfill_id)
        await settle()
        assert passes.begun == [backfill_id]
        passes.go.set()
        await settle()
        works.advances.start(backfill_id)
        await settle()
        assert passes.begun == [backfill_id] * 2


async def test_only_so_many_backfills_are_counted_at_once() -> None:
    passes = Passes()
    async with working(passes) as (works, _):
        for _ in range(AT_ONCE + 5):
            works.advances.start(uuid4())
        await settle()
        assert len(passes.begun) == AT_ONCE
        passes.go.set()
        await settle()
        assert len(passes.begun) == AT_ONCE + 5


@pytest.mark.parametrize("error", [OSError("database away"), RuntimeError("a bug")])
async def test_a_backfill_that_fails_may_be_tried_again(error: Exception) -> None:
    passes, backfill_id = Passes(outcome=error), uuid4()
    passes.go.set()
    async with working(passes) as (works, bell):
        for _ in range(2):
            works.advances.start(backfill_id)
            await settle()
        assert (len(passes.begun), bell.rung) == (2, 0)


async def test_stopping_gives_up_what_is_under_way() -> None:
    before = asyncio.all_tasks()
    async with working(Passes()) as (works, _):
        works.advances.start(uuid4())
        await settle()
        await works.advances.stop()
        assert asyncio.all_tasks() == before


async def test_a_tick_starts_what_waits_without_waiting_for_it() -> None:
    passes, backfill_id = Passes(), uuid4()
    async with working(passes, Ticked(1, 0, [uuid4()], [backfill_id])) as (works, bell):
        await tick({"works": works})
        await settle()
        assert (passes.begun, bell.rung) == ([backfill_id], 1)


@pytest.mark.parametrize("error", [OSError("database away"), RuntimeError("a bug")])
async def test_a_tick_that_fails_is_no_end_of_ticking(error: Exception) -> None:
    async with working(Passes(), error) as (works, _):
        assert works.since_tick > 1e9
        await tick({"works": works})
        assert works.since_tick < 10
