"""A worker process that a benchmark runs exports in."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from app.models import Export, Run, RunStatus, SelectBy
from app.runs.claims import ClaimRepository
from app.scheduling.intervals import Window
from benchmarks.processes import Cpu, Usage, Watched
from benchmarks.service import Service


@dataclass(frozen=True)
class Lag:
    """Seconds by which the event loop was late while there were runs."""

    p99: float
    most: float


@dataclass(frozen=True)
class Done:
    """An export that has completed; ``seconds`` from its run's row to its completion, by the database's clock."""

    seconds: float
    run: Run
    cpu: Cpu
    """Of the worker, and of all others, while this export was made, and those that were made with it."""


class Worker:
    """``usage`` and ``lag`` are there once it has ended."""

    usage: Usage
    lag: Lag

    def __init__(self, service: Service, pid: int) -> None:
        self._service = service
        self._pid = pid
        self._runs: list[Run] = []

    async def export(
        self, port: int, config: Mapping[str, Any], windows: Sequence[Window], select_by: SelectBy
    ) -> Sequence[Done]:
        """Windows, all at once, to the discarding server at ``port``."""
        run_ids = await self._claims(port, config, windows, select_by)
        before = Cpu.now(self._pid)
        for run_id in run_ids:
            await self._service.runtime.queue.wake(run_id)
        runs = [await self._until_finished(run_id) for run_id in run_ids]
        self._runs += runs
        cpu = Cpu.now(self._pid).since(before)
        return [Done((_end(run) - run.created_at).total_seconds(), run, cpu) for run in runs]

    def lag_of(self, looks: Sequence[tuple[float, float]]) -> Lag:
        times = [(run.created_at.timestamp(), _end(run).timestamp()) for run in self._runs]
        late = sorted(late for at, late in looks if any(start <= at <= end for start, end in times))
        return Lag(late[int(0.99 * len(late))], late[-1])

    async def _claims(
        self, port: int, config: Mapping[str, Any], windows: Sequence[Window], select_by: SelectBy
    ) -> Sequence[UUID]:
        runtime = self._service.runtime
        document = {
            "bucket_name": "sink",
            "region": "us-east-1",
            "prefix": "benchmark",
            "aws_access_key_id": "any",
            "aws_secret_access_key": "any",
            "endpoint_url": f"http://127.0.0.1:{port}",
            **config,
        }
        run_ids: list[UUID] = []
        async with runtime.sessions.begin() as session:
            for number, window in enumerate(windows):
                export = Export(
                    project_id=self._service.project_id,
                    name="Benchmark",
                    destination_type="S3Compatible",
                    destination_config=runtime.cipher.seal({**document, "prefix": f"benchmark-{number}"}),
                    interval="day",
                    paused=True,
                    next_start=window.end,
                )
                session.add(export)
                await session.flush()
                run_ids += await ClaimRepository(session).add(export, [window], timedelta(0), select_by=select_by)
        return run_ids

    async def _until_finished(self, run_id: UUID) -> Run:
        while True:
            async with self._service.runtime.sessions() as session:
                run = await session.get_one(Run, run_id)
            if run.finished_at is not None:
                assert run.status == RunStatus.COMPLETED, run.latest_error
                return run
            await asyncio.sleep(0.1)


@asynccontextmanager
async def open_worker(service: Service, slots: int = 1) -> AsyncIterator[Worker]:
    found = service.directory / f"worker-{uuid4()}.json"
    env = {**service.env, "BATCH_EXPORTS_WORKER_SLOTS": str(slots)}
    process = Watched(["-m", "benchmarks.probed_worker", str(found)], env)
    worker = Worker(service, process.pid)
    try:
        await _until_listening(service)
        yield worker
    finally:
        worker.usage = await asyncio.to_thread(process.stop)
    worker.lag = worker.lag_of(json.loads(found.read_text()))


async def _until_listening(service: Service) -> None:
    """The worker has connected to the database, and a moment later it polls."""
    async with service.store() as store:
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'batch-exports worker'"
        while not await store.fetchval(query):
            await asyncio.sleep(0.1)
    await asyncio.sleep(1)


def _end(run: Run) -> datetime:
    assert run.finished_at is not None
    return run.finished_at
