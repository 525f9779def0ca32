"""One worker process exporting one window to S3, against a bare COPY of the same rows and columns, discarded."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx

from app.embedded.state import free_port
from app.models import SelectBy
from app.scheduling.intervals import Window
from benchmarks.processes import Watched
from benchmarks.service import END, START, Service, open_service
from benchmarks.tables import Table
from benchmarks.worker import Done, Worker, open_worker

CASES: Final[tuple[tuple[str, dict[str, Any], float], ...]] = (
    ("Parquet, zstd", {"file_format": "Parquet", "compression": "zstd"}, 1.6),
    ("JSON Lines", {"file_format": "JSONLines"}, 2.0),
    ("JSON Lines, gzip", {"file_format": "JSONLines", "compression": "gzip"}, 3.0),
)
"""With the ratio to the bare COPY that each is to have at most."""
COLUMNS: Final = (
    "uuid::text, event, properties, distinct_id, person_id::text, person_properties, elements_chain, timestamp, "
    "created_at, inserted_at"
)
HEADINGS: Final = (
    "",
    "seconds",
    "rows/s",
    "ratio to COPY",
    "target",
    "CPU: worker, all others, idle",
    "ratio if never idle",
    "written",
    "peak memory",
    "event loop late, p99 (most)",
)
REPEATS: Final = 5
TWICE: Final = 2.2
"""How many times as long two exports at once may take as one."""
LAG: Final = 0.050
"""Seconds by which the event loop may be late, 99 times of 100."""


async def measure(rows: int) -> Table:
    table = Table(
        HEADINGS,
        f"{rows:,} events; the best of {REPEATS}, a COPY before each; the S3 server discards what it is sent.",
    )
    async with open_service() as service:
        await fill(service, rows)
        async with discarding_store() as port:
            cases = [(name, target, *await _case(service, port, rows, config)) for name, config, target in CASES]
            one, two, worker = await _two_at_once(service, port)
    bare = min(copy for _, _, copy, *_ in cases)
    table.add("bare `COPY`, binary, discarded", f"{bare:.2f}", f"{rows / bare:,.0f}", "1.00", *[""] * 6)
    for name, target, copy, done, ended in cases:
        cells = [f"{done.seconds:.2f}", f"{rows / done.seconds:,.0f}", f"{done.seconds / copy:.2f}", f"{target}"]
        written = f"{(done.run.bytes_exported or 0) / 1e6:,.0f} MB"
        table.add(name, *cells, *_cpu(done, copy), written, *_of(ended))
    table.add("two of Parquet at once", f"{two:.2f}", f"{2 * rows / two:,.0f}", *[""] * 5, *_of(worker))
    table.note += (
        f" Ratios are to the best COPY beside the same case. Two at once took {two / one:.2f} times as long as one in "
        f"the same process (target: {TWICE}). Target for the event loop: {LAG * 1000:.0f} ms."
    )
    return table


def _of(worker: Worker) -> tuple[str, str]:
    lag = f"{worker.lag.p99 * 1000:.0f} ({worker.lag.most * 1000:.0f}) ms"
    return f"{worker.usage.peak_mib:.0f} MiB", lag


def _cpu(done: Done, copy: float) -> tuple[str, str]:
    cores, busy = os.cpu_count() or 1, done.cpu.process + done.cpu.others
    idle = max(cores * done.seconds - busy, 0)
    return f"{done.cpu.process:.2f}, {done.cpu.others:.2f}, {idle:.2f} s", f"{busy / cores / copy:.2f}"


async def fill(service: Service, rows: int) -> None:
    await service.load(await service.write_sample(rows))
    async with service.store() as store:
        await store.execute("VACUUM ANALYZE event_store.events")


async def _case(service: Service, port: int, rows: int, config: dict[str, Any]) -> tuple[float, Done, Worker]:
    """Seconds of the best COPY, the best export, and the worker, which has ended."""
    copies, exports = [], []
    async with open_worker(service) as worker:
        for _ in range(REPEATS):
            copies.append(await _copy(service))
            [done] = await worker.export(port, config, [Window(START, END)], SelectBy.TIMESTAMP)
            assert done.run.records_completed == rows
            exports.append(done)
    return min(copies), min(exports, key=lambda done: done.seconds), worker


async def _two_at_once(service: Service, port: int) -> tuple[float, float, Worker]:
    """Seconds that one export takes, and two at once, the worker that has run them, which has ended."""
    [_, config, _], window = CASES[0], Window(START, END)
    ones, twos = [], []
    async with open_worker(service, slots=2) as worker:
        for _ in range(REPEATS):
            [one] = await worker.export(port, config, [window], SelectBy.TIMESTAMP)
            two = await worker.export(port, config, [window, window], SelectBy.TIMESTAMP)
            ones.append(one.seconds)
            twos.append(max(done.seconds for done in two))
    return min(ones), min(twos), worker


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


async def _until_answers(port: int) -> None:
    async with httpx.AsyncClient() as client:
        while True:
            try:
                await client.head(f"http://127.0.0.1:{port}/sink/x")
            except httpx.TransportError:
                await asyncio.sleep(0.1)
            else:
                return
