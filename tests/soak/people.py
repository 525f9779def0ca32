"""What people do at the worst moment, through the API; and schedulers that are too many."""

import asyncio
import random
from datetime import timedelta
from typing import Final
from uuid import UUID

import httpx
from fastapi import FastAPI
from sqlalchemy import select

from app.exports.due import DueWindows
from app.main import create_app
from app.models import Run
from app.models.enums import UNFINISHED_RUN
from app.runtime import Runtime
from app.scheduling.tick import Ticker
from tests.soak.patience import PATIENCE, PAUSE
from tests.soak.schedule import Exported, Tenancy

AT_ONCE: Final = 20
RETRIES: Final = 10


class NothingToDo(Exception):
    """There is no run of that kind at the moment."""


class People:
    def __init__(self, runtime: Runtime, tenancy: Tenancy, chance: random.Random) -> None:
        self._runtime = runtime
        self._tenancy = tenancy
        self._chance = chance
        app: FastAPI = create_app(runtime.settings)
        app.state.runtime = runtime
        self._client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False),
            base_url="http://service.test/api/projects",
            headers={"Authorization": f"Bearer {tenancy.key}"},
        )
        self.retries = 0

    async def tick_and_hint(self) -> None:
        ticker = Ticker(self._runtime.sessions, self._runtime.clock, DueWindows.of(self._runtime.settings))
        async with self._runtime.sessions() as session:
            found = await session.scalars(select(Run.id).order_by(Run.created_at.desc()).limit(AT_ONCE))
            run_ids = found.all()
        hints = (self._runtime.queue.wake(run_id) for run_id in run_ids)
        await asyncio.gather(*(ticker.tick() for _ in range(AT_ONCE)), *hints)

    async def cancel_and_retry(self) -> None:
        """Whoever cancels a run here wants it all the same in the end."""
        export, run_id = await self._a_run(unfinished=True)
        # 400: it has ended meanwhile.
        await self._post(export, f"runs/{run_id}/cancel/", {200, 400})
        await asyncio.sleep(self._chance.uniform(0, 1))
        await self._post(export, f"runs/{run_id}/retry/", {201})
        self.retries += 1

    async def retry_ten_times(self) -> None:
        export, run_id = await self._a_run(unfinished=False)
        await asyncio.gather(*(self._post(export, f"runs/{run_id}/retry/", {201}) for _ in range(RETRIES)))
        self.retries += RETRIES

    async def pause_and_unpause(self) -> None:
        export = self._chance.choice(self._tenancy.scheduled)
        async with export.lock:
            since = self._runtime.clock()
            await self._post(export, "pause/", {200})
            await asyncio.sleep(self._chance.uniform(0, 5))
            await self._post(export, "unpause/", {200})
            export.pauses.append((since, self._runtime.clock() + timedelta(seconds=1)))

    async def aclose(self) -> None:
        await self._client.aclose()

    async def _a_run(self, *, unfinished: bool) -> tuple[Exported, UUID]:
        """:raises NothingToDo: when there is none."""
        export = self._chance.choice(self._tenancy.working)
        state = Run.status.in_(UNFINISHED_RUN)
        query = select(Run.id).where(Run.export_id == export.id, state if unfinished else ~state)
        async with self._runtime.sessions() as session:
            found = (await session.scalars(query.order_by(Run.created_at.desc()).limit(5))).all()
        if not found:
            raise NothingToDo
        return export, self._chance.choice(found)

    async def _post(self, export: Exported, path: str, expected: set[int]) -> None:
        """Again and again, while the service's database is away."""
        url = f"/{export.team.id}/batch_exports/{export.id}/{path}"
        async with asyncio.timeout(PATIENCE):
            while (answer := await self._client.post(url, json={})).status_code not in expected:
                assert answer.status_code >= 500, answer.text
                await asyncio.sleep(PAUSE)
