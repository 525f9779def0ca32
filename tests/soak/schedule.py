"""The exports of a soak, and how their windows come to be due.

Intervals are five minutes at least, and a soak has no time for that. So most exports get consecutive short windows,
put in by the soak as the tick would, read with real times of ingestion while others still write. The rest is
scheduled by the real tick, whose mark is moved back again and again, into a past that gets its events just before.
"""

import asyncio
import random
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import func, select, update

from app.models import Export, Project, Run
from app.models.enums import UNFINISHED_RUN
from app.runs.claims import ClaimRepository
from app.runtime import Runtime
from app.scheduling.intervals import Window
from app.tenants.service import create_api_key, create_organization, create_project
from tests.factories import make_export
from tests.soak.patience import persist
from tests.soak.writers import Team, Writer

SHORT: Final = timedelta(seconds=5)
"""A window that the soak puts in; a longer one where the workers do not keep up, so that each is read right away, while
others still write into it."""
BACKLOG: Final = 40
"""Unfinished runs above which no more are made: a soak is to find faults, not how fast the machine is."""
FIVE_MINUTES: Final = timedelta(minutes=5)
SETTLE: Final = timedelta(seconds=1)
BACK: Final = 4
"""Windows by which the mark of a scheduled export is moved back at once."""
BACK_EVERY: Final = 4.0
"""Seconds between two such moves, of any export."""
EVENTS: Final = 6
"""In each window of the past."""
FAILING: Final = 12
"""Windows of the export that cannot work: enough for it to be paused."""
SMALL, LARGE = 200, 150_000
"""Bytes of properties of an event; the large ones make several files of a window."""
SHAPES: Final[Sequence[tuple[dict[str, Any], int]]] = (
    ({"file_format": "JSONLines"}, SMALL),
    ({"file_format": "Parquet", "compression": "zstd"}, SMALL),
    ({"file_format": "JSONLines", "compression": "gzip"}, SMALL),
    ({"file_format": "JSONLines", "max_file_size_mb": 1}, LARGE),
    ({"file_format": "Parquet", "compression": "snappy", "max_file_size_mb": 1}, SMALL),
)


@dataclass
class Exported:
    """An export, and which windows of it there must be, and may be, at the end."""

    id: UUID
    team: Team
    prefix: str
    scheduled: bool
    works: bool
    start: datetime
    """Of the first window; a scheduled export's is moved back."""
    put_in: list[Window] = field(default_factory=list)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    """Whoever moves the schedule, or pauses it, holds this."""
    pauses: list[tuple[datetime, datetime]] = field(default_factory=list)

    @property
    def end(self) -> datetime:
        """Of the last window that the soak has put in."""
        return self.put_in[-1].end if self.put_in else self.start

    def due(self, mark: datetime) -> set[Window]:
        """All windows that there are to be; those of a scheduled export end by ``mark``."""
        if not self.scheduled:
            return set(self.put_in)
        number = (mark - self.start) // FIVE_MINUTES
        starts = [self.start + FIVE_MINUTES * index for index in range(number)]
        return {Window(start, start + FIVE_MINUTES) for start in starts}

    def may_lack(self, window: Window) -> bool:
        """What closes in a pause is skipped, by the contract."""
        return any(since < window.end <= until for since, until in self.pauses)


@dataclass
class Tenancy:
    key: str
    exports: list[Exported]

    @property
    def working(self) -> list[Exported]:
        return [export for export in self.exports if export.works]

    @property
    def scheduled(self) -> list[Exported]:
        return [export for export in self.working if export.scheduled]


async def make_exports(runtime: Runtime, s3: dict[str, Any], number: int) -> Tenancy:
    """A quarter of them scheduled by the tick, one of these with a bucket that is not there."""
    exports = []
    async with runtime.sessions.begin() as session:
        organization = await create_organization(session, "Soak")
        _, key = await create_api_key(session, organization.id, ["*"], "soak")
        for index in range(number):
            project = await create_project(session, organization.id, f"Soak {index}")
            exports.append(await _make(runtime, session, project, s3, index))
    return Tenancy(key, exports)


async def _make(runtime: Runtime, session: Any, project: Project, s3: dict[str, Any], index: int) -> Exported:
    shape, size = SHAPES[index // 4 % len(SHAPES)] if index % 4 == 0 else SHAPES[index % len(SHAPES)]
    scheduled, works = index % 4 == 0, index != 0
    now = runtime.clock()
    start = _boundary(now) if scheduled else now - timedelta(seconds=index % 5)
    prefix = f"soak-{index}/"
    bucket = {} if works else {"bucket_name": "not-there"}
    first = start if works else start - FAILING * FIVE_MINUTES
    export = await make_export(
        session,
        runtime.cipher,
        project,
        destination_type="S3",
        name=f"Soak {index}",
        config={**s3, **shape, "prefix": prefix, **bucket},
        interval="every 5 minutes",
        next_start=first,
        paused=not scheduled,
    )
    return Exported(export.id, Team(project.id, size), prefix, scheduled, works, first)


def _boundary(moment: datetime) -> datetime:
    return datetime.fromtimestamp(moment.timestamp() // 300 * 300, UTC)


class Scheduling:
    """Puts windows in, and moves marks back, until told to stop."""

    def __init__(self, runtime: Runtime, tenancy: Tenancy, historian: Writer, chance: random.Random) -> None:
        self._runtime = runtime
        self._tenancy = tenancy
        self._historian = historian
        self._chance = chance
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._put_in()), asyncio.create_task(self._move_back())]

    async def stop(self) -> None:
        self._stopping.set()
        await asyncio.gather(*self._tasks)
        await self._historian.close()

    async def _put_in(self) -> None:
        while not self._stopping.is_set():
            if not await persist(self._behind):
                now = self._runtime.clock()
                made: list[UUID] = []
                for export in self._tenancy.working:
                    if not export.scheduled and now - export.end >= SHORT:
                        made += await self._put_in_one(export, Window(export.end, now))
                await asyncio.gather(*(self._runtime.queue.wake(run_id) for run_id in made))
            await self._pause(0.5)

    async def _put_in_one(self, export: Exported, window: Window) -> Sequence[UUID]:
        async def add() -> Sequence[UUID]:
            async with self._runtime.sessions.begin() as session:
                row = await session.get_one(Export, export.id)
                return await ClaimRepository(session).add(row, [window], SETTLE)

        made = await persist(add)
        export.put_in.append(window)
        return made

    async def _move_back(self) -> None:
        while not self._stopping.is_set():
            if not await persist(self._behind):
                await self._move_back_one(self._chance.choice(self._tenancy.scheduled))
            await self._pause(BACK_EVERY)

    async def _move_back_one(self, export: Exported) -> None:
        async with export.lock:
            start = export.start - BACK * FIVE_MINUTES
            span = export.start - start
            moments = [start + span / (BACK * EVENTS) * number for number in range(BACK * EVENTS)]
            while not await self._historian.write(export.team, moments, 0, commit=True):
                pass
            await persist(lambda: self._set_mark(export, start))
            export.start = start

    async def _behind(self) -> bool:
        async with self._runtime.sessions() as session:
            unfinished = select(func.count()).where(Run.status.in_(UNFINISHED_RUN))
            return (await session.scalar(unfinished) or 0) > BACKLOG

    async def _set_mark(self, export: Exported, start: datetime) -> None:
        async with self._runtime.sessions.begin() as session:
            moved = {"next_start": start, "accounted_from": start}
            await session.execute(update(Export).where(Export.id == export.id).values(**moved))

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)


async def mark_of(runtime: Runtime, export: Exported) -> datetime:
    """Where the windows of a scheduled export that have no run yet begin."""
    async with runtime.sessions() as session:
        return (await session.scalars(select(Export.next_start).where(Export.id == export.id))).one()


def caught_up(mark: datetime, moment: datetime) -> bool:
    return mark >= _boundary(moment)
