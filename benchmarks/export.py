"""One worker process exporting one window to S3, against a bare COPY of the same rows and columns, discarded."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx

from app.embedded.state import free_port
from app.models import Export, Run, RunStatus, SelectBy
from app.runs.claims import ClaimRepository
from app.scheduling.intervals import Window
from benchmarks.processes import Usage, Watched
from benchmarks.service import END, START, Service, open_service
from benchmarks.tables import Table

CASES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("Parquet, zstd", {"file_format": "Parquet", "compression": "zstd"}),
    ("JSON Lines", {"file_format": "JSONLines"}),
    ("JSON Lines, gzip", {"file_format": "JSONLines", "compression": "gzip"}),
)
COLUMNS = (
    "uuid::text, event, properties, distinct_id, person_id::text, person_properties, elements_chain, timestamp, "
    "created_at, inserted_at"
)
MEMORY_LIMIT = 512


async def measure(rows: int) -> Table:
    table = Table(
        ["", "seconds", "rows/s", "ratio to COPY", "written", "peak memory"],
        f"{rows:,} events; the S3 server discards what it is sent. A worker must stay below {MEMORY_LIMIT} MiB.",
    )
    async with open_service() as service:
        await service.load(await service.write_sample(rows))
        async with service.store() as store:
            await store.execute("VACUUM ANALYZE event_store.events")
        bare = min([await _copy(service) for _ in range(3)])
        table.add("bare `COPY`, binary, discarded", f"{bare:.1f}", f"{rows / bare:,.0f}", "1.00", "", "")
        async with discarding_store() as port:
            for name, config in CASES:
                seconds, run, usage = await export_window(service, port, config, Window(START, END), SelectBy.TIMESTAMP)
                assert run.records_completed == rows
                table.add(
                    name,
                    f"{seconds:.1f}",
                    f"{rows / seconds:,.0f}",
                    f"{seconds / bare:.2f}",
                    f"{(run.bytes_exported or 0) / 1e6:,.0f} MB",
                    f"{usage.peak_mib:.0f} MiB",
                )
    return table


@asynccontextmanager
async def discarding_store() -> AsyncIterator[int]:
    """The port of an S3 server that keeps nothing, in a process of its own."""
    port = free_port()
    sink = Watched(["-m", "benchmarks.s3_sink", str(port)], {})
    try:
        await _until_answers(port)
        yield port
    finally:
        sink.stop()


async def _copy(service: Service) -> float:
    async def discard(data: bytes) -> None:
        pass

    query = f"SELECT {COLUMNS} FROM event_store.events WHERE team_id = $1 AND timestamp >= $2 AND timestamp < $3"
    async with service.store() as store:
        started = time.monotonic()
        await store.copy_from_query(query, service.project_id, START, END, output=discard, format="binary")
        return time.monotonic() - started


async def export_window(
    service: Service, port: int, config: dict[str, Any], window: Window, select_by: SelectBy
) -> tuple[float, Run, Usage]:
    """One window to the discarding server at ``port``.

    The time from the run's row to its completion, by the database's clock; the worker has started before.
    """
    runtime = service.runtime
    worker = Watched(["-m", "worker"], {**service.env, "BATCH_EXPORTS_WORKER_SLOTS": "1"})
    try:
        await _until_listening(service)
        async with runtime.sessions.begin() as session:
            export = Export(
                project_id=service.project_id,
                name="Benchmark",
                destination_type="S3Compatible",
                destination_config=runtime.cipher.seal(
                    {
                        "bucket_name": "sink",
                        "region": "us-east-1",
                        "prefix": "benchmark",
                        "aws_access_key_id": "any",
                        "aws_secret_access_key": "any",
                        "endpoint_url": f"http://127.0.0.1:{port}",
                        **config,
                    }
                ),
                interval="day",
                paused=True,
                next_start=END,
            )
            session.add(export)
            await session.flush()
            [run_id] = await ClaimRepository(session).add(export, [window], timedelta(0), select_by=select_by)
        await runtime.queue.wake(run_id)
        run = await _until_finished(service, run_id)
    finally:
        usage = await asyncio.to_thread(worker.stop)
    assert run.finished_at is not None
    return (run.finished_at - run.created_at).total_seconds(), run, usage


async def _until_finished(service: Service, run_id: UUID) -> Run:
    while True:
        async with service.runtime.sessions() as session:
            run = await session.get_one(Run, run_id)
        if run.finished_at is not None:
            assert run.status == RunStatus.COMPLETED, run.latest_error
            return run
        await asyncio.sleep(0.1)


async def _until_listening(service: Service) -> None:
    """The worker has connected to the database, and a moment later it polls."""
    async with service.store() as store:
        query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'batch-exports worker'"
        while not await store.fetchval(query):
            await asyncio.sleep(0.1)
    await asyncio.sleep(1)


async def _until_answers(port: int) -> None:
    async with httpx.AsyncClient() as client:
        while True:
            try:
                await client.head(f"http://127.0.0.1:{port}/sink/x")
            except httpx.TransportError:
                await asyncio.sleep(0.1)
            else:
                return
