"""Workers that are killed with runs in progress: how long until others have these runs, and until they are completed.

With the settings as they come: nothing is hastened but the number of slots. The S3 server never answers what the first
attempt at a run sends, so that each run is in progress whenever its worker is killed; to the second one it answers at
once.
"""

import asyncio
import os
import random
import statistics
import sys
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from email.message import Message
from time import monotonic
from typing import Self
from uuid import UUID

from sqlalchemy import select

from app.models import Export, Run, RunStatus, SelectBy
from app.runs.claims import ClaimRepository
from app.scheduling.intervals import Window
from benchmarks.s3_sink import METADATA, Objects, listening
from benchmarks.service import END, START, Service, open_service
from benchmarks.tables import Table

RUNS = 50
VICTIMS, SLOTS = 10, 5
SURVIVORS = 2
SPREAD = 30.0
"""Seconds over which the victims are killed: three heartbeats, so that leases are of any age."""
EVENTS = 20_000
TARGET = 60
LOOK_EVERY = 0.1
SEED = 20260101


@dataclass
class Held(Objects):
    """Never answers a first attempt."""

    holding: int = 0

    def ignores(self, headers: Message) -> bool:
        attempt = next((value for name, value in headers.items() if name.lower().startswith(METADATA)), "")
        first = attempt.endswith("/1")
        self.holding += first
        return first


@dataclass
class Seen:
    """Moments of one run, on the clock of this process."""

    killed: float = 0
    claimed: float | None = None
    completed: float | None = None


@dataclass
class Watch:
    service: Service
    runs: dict[UUID, Seen] = field(default_factory=dict)

    async def look(self) -> None:
        """Until the last run is completed."""
        while any(seen.completed is None for seen in self.runs.values()):
            rows = await self._rows()
            now = monotonic()
            for run in rows:
                seen = self.runs[run.id]
                if run.epoch > 1 and seen.claimed is None:
                    seen.claimed = now
                if run.finished_at is not None and seen.completed is None:
                    assert run.status == RunStatus.COMPLETED, run.latest_error
                    seen.completed = now
            await asyncio.sleep(LOOK_EVERY)

    async def of_worker(self, pid: int) -> Sequence[UUID]:
        """The runs that a worker has."""
        return [run.id for run in await self._rows() if (run.owner or "").endswith(f":{pid}")]

    async def _rows(self) -> Sequence[Run]:
        async with self.service.runtime.sessions() as session:
            return (await session.scalars(select(Run).where(Run.id.in_(self.runs)))).all()


async def measure(rows: int) -> Table:
    async with open_service() as service, _serve(Held()) as (held, port), _Workers(service) as workers:
        await service.load(await service.write_sample(min(rows, EVENTS)))
        victims = [await workers.start(SLOTS) for _ in range(VICTIMS)]
        watch = Watch(service, {run_id: Seen() for run_id in await _add_runs(service, port)})
        while held.holding < RUNS:
            await asyncio.sleep(LOOK_EVERY)
        for _ in range(SURVIVORS):
            await workers.start()
        async with asyncio.TaskGroup() as group:
            group.create_task(watch.look())
            for moment, victim in zip(_moments(), victims, strict=True):
                group.create_task(_kill(watch, victim, moment))
    table = Table(
        ["from the kill to", "median", "worst"],
        f"{RUNS} runs in progress on {VICTIMS} workers that are killed at random moments; {SURVIVORS} others, with the "
        f"settings as they come, take them over. Target: less than {TARGET} s.",
    )
    seen = watch.runs.values()
    table.add("another worker's claim", *_summary([(run.claimed or 0) - run.killed for run in seen]))
    table.add("the run's completion", *_summary([(run.completed or 0) - run.killed for run in seen]))
    return table


def _summary(seconds: Sequence[float]) -> tuple[str, str]:
    return f"{statistics.median(seconds):.1f} s", f"{max(seconds):.1f} s"


def _moments() -> Sequence[float]:
    """Seconds from now, by chance, one in each part of the time that there is."""
    chance = random.Random(SEED)
    return [(number + chance.random()) * SPREAD / VICTIMS for number in range(VICTIMS)]


async def _kill(watch: Watch, victim: Process, moment: float) -> None:
    await asyncio.sleep(moment)
    its_runs = await watch.of_worker(victim.pid)
    assert len(its_runs) == SLOTS
    victim.kill()
    for run_id in its_runs:
        watch.runs[run_id].killed = monotonic()


async def _add_runs(service: Service, port: int) -> Sequence[UUID]:
    """Of consecutive windows of the sample, each with its share of it."""
    runtime = service.runtime
    length = (END - START) / RUNS
    windows = [Window(START + length * number, START + length * (number + 1)) for number in range(RUNS)]
    config = {
        "bucket_name": "sink",
        "region": "us-east-1",
        "prefix": "recovery",
        "aws_access_key_id": "any",
        "aws_secret_access_key": "any",
        "endpoint_url": f"http://127.0.0.1:{port}",
        "file_format": "Parquet",
    }
    async with runtime.sessions.begin() as session:
        export = Export(
            project_id=service.project_id,
            name="Recovery",
            destination_type="S3Compatible",
            destination_config=runtime.cipher.seal(config),
            interval="hour",
            paused=True,
            next_start=END,
        )
        session.add(export)
        await session.flush()
        return await ClaimRepository(session).add(export, windows, timedelta(0), select_by=SelectBy.TIMESTAMP)


@dataclass
class _Workers:
    """Worker processes; whatever still runs in the end is killed."""

    service: Service
    _started: list[Process] = field(default_factory=list)

    async def start(self, slots: int | None = None) -> Process:
        """One that is at work already."""
        own = {"BATCH_EXPORTS_WORKER_SLOTS": str(slots)} if slots is not None else {}
        log = self.service.directory / f"worker-{len(self._started)}.log"
        with log.open("wb") as file:
            worker = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "worker"),
                env={**os.environ, **self.service.env, "BATCH_EXPORTS_LOG_LEVEL": "INFO", **own},
                stderr=file,
            )
        self._started.append(worker)
        while "worker started" not in log.read_text():
            await asyncio.sleep(LOOK_EVERY)
        return worker

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for worker in self._started:
            if worker.returncode is None:
                worker.kill()
            await worker.wait()


@asynccontextmanager
async def _serve(held: Held) -> AsyncIterator[tuple[Held, int]]:
    with listening(held) as port:
        yield held, port
