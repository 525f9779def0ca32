"""Runs that are claimed, and leases that lapse."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

from sqlalchemy import text

from app.models import Export, Run
from app.runs.claim import Claim
from app.runs.claims import ClaimRepository
from app.runtime import Runtime
from app.scheduling.intervals import Window
from tests.factories import make_backfill, make_export, utc

TTL = timedelta(seconds=40)
LATER = utc(2030, 1, 1)
WINDOW = Window(utc(2026, 1, 1), utc(2026, 1, 1, 1))


@asynccontextmanager
async def claims(runtime: Runtime) -> AsyncIterator[ClaimRepository]:
    async with runtime.sessions.begin() as session:
        yield ClaimRepository(session)


async def add_run(runtime: Runtime, *windows: Window, settle: timedelta = timedelta(0)) -> list[UUID]:
    async with runtime.sessions.begin() as session:
        export = await make_export(session, runtime.cipher)
        return list(await ClaimRepository(session).add(export, windows or [WINDOW], settle))


async def claim(runtime: Runtime, owner: str = "worker-1", ttl: timedelta = TTL) -> Claim | None:
    async with claims(runtime) as repository:
        return await repository.claim(owner, ttl)


async def claimed(runtime: Runtime) -> Claim:
    await add_run(runtime)
    taken = await claim(runtime)
    assert taken is not None
    return taken


async def lapse(runtime: Runtime, taken: Claim) -> None:
    """Let the lease run out, by the database's clock."""
    async with runtime.sessions.begin() as session:
        await session.execute(
            text("UPDATE runs SET lease_until = clock_timestamp() - interval '1 second' WHERE id = :id"),
            {"id": taken.run_id},
        )


async def row(runtime: Runtime, run_id: UUID) -> Run:
    async with runtime.sessions() as session:
        return await session.get_one(Run, run_id)


async def add_rerun(runtime: Runtime, run_id: UUID) -> UUID:
    """Another run of the same window."""
    async with runtime.sessions.begin() as session:
        run = await session.get_one(Run, run_id)
        export = await session.get_one(Export, run.export_id)
        backfill = await make_backfill(session, export)
        window = Window(run.data_interval_start, run.data_interval_end)
        [made] = await ClaimRepository(session).add(export, [window], timedelta(0), backfill_id=backfill.id)
        return made
