"""The real thing that a model is held against: the database, the API, the tick, and rows as they are."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from sqlalchemy import text

from app.backfills.advance import Advancer
from app.exports.due import DueWindows
from app.models import Project
from app.runs.claims import ClaimRepository
from app.runtime import Runtime, open_runtime
from app.scheduling.tick import Ticker
from app.settings import Settings
from tests.apps import app_on
from tests.conftest import Clock
from tests.factories import make_export
from tests.faults.model import EVENTS_EVERY, ExportModel
from tests.http.callers import Tenant, add_tenant, open_client

EVENTS = (
    "INSERT INTO event_store.events (uuid, team_id, event, distinct_id, properties, timestamp, inserted_at) "
    "SELECT gen_random_uuid(), :team_id, 'e', 'user', '{}', moment, moment FROM generate_series("
    "CAST(:start AS timestamptz), CAST(:start AS timestamptz) + interval '12 days', CAST(:step AS interval)) moment"
)
ROWS = "SELECT to_jsonb(t) || jsonb_build_object('lapsed', {lapsed}) FROM {table} t"
Row = dict[str, Any]


@dataclass(frozen=True)
class World:
    """One database and its people; emptied between examples."""

    runtime: Runtime
    clock: Clock
    tenant: Tenant
    api: httpx.AsyncClient

    @property
    def ticker(self) -> Ticker:
        return Ticker(self.runtime.sessions, self.clock, DueWindows.of(self.runtime.settings))

    @property
    def advancer(self) -> Advancer:
        runtime = self.runtime
        return Advancer(runtime.sessions, runtime.source, self.clock, runtime.settings.settle_delay)

    @asynccontextmanager
    async def claims(self) -> AsyncIterator[ClaimRepository]:
        async with self.runtime.sessions.begin() as session:
            yield ClaimRepository(session)

    async def add_export(self, export: ExportModel) -> None:
        async with self.runtime.sessions.begin() as session:
            await make_export(
                session,
                self.runtime.cipher,
                await session.get_one(Project, self.tenant.project_id),
                id=export.id,
                interval=export.interval,
                next_start=export.next_start,
                created_at=self.clock(),
            )

    async def execute(self, statement: str, **values: object) -> None:
        async with self.runtime.sessions.begin() as session:
            await session.execute(text(statement), values)

    async def post(self, export: ExportModel, path: str, body: object = None) -> httpx.Response:
        return await self.api.post(f"/batch_exports/{export.id}/{path}/", json={} if body is None else body)

    async def read(self) -> tuple[dict[UUID, Row], dict[UUID, Row], dict[UUID, Row]]:
        """Exports, backfills and runs, whole rows as JSON, all of one moment."""
        parts = [
            ROWS.format(table="exports", lapsed="false"),
            ROWS.format(table="backfills", lapsed="false"),
            ROWS.format(table="runs", lapsed="coalesce(t.lease_until < clock_timestamp(), false)"),
        ]
        arrays = ", ".join(f"ARRAY({part})" for part in parts)
        async with self.runtime.sessions() as session:
            found: Sequence[list[Row]] = (await session.execute(text(f"SELECT {arrays}"))).one()
        exports, backfills, runs = ({UUID(row["id"]): row for row in rows} for rows in found)
        return exports, backfills, runs

    async def empty(self) -> None:
        await self.execute("TRUNCATE exports, log_entries CASCADE")


@asynccontextmanager
async def open_world(settings: Settings, start: datetime) -> AsyncIterator[World]:
    clock = Clock()
    clock.now = start
    async with open_runtime(settings, application_name="tests", clock=clock) as runtime:
        tenant = await add_tenant(runtime)
        async with open_client(app_on(runtime), tenant) as api:
            world = World(runtime, clock, tenant, api)
            begin = start - timedelta(days=2)
            await world.execute(EVENTS, team_id=tenant.project_id, start=begin, step=EVENTS_EVERY)
            yield world
