"""One worker process exporting one window to S3, against a bare COPY of the same rows and columns, discarded."""

import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
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
REPEATS: Final = 7
TWICE: Final = 2.2
"""How many times as long two exports at once may take as one."""
LAG: Final = 0.050
"""Seconds by which the event loop may be late, 99 times of 100."""


async def measure(rows: int) -> Table:
    table = Table(
        HEADINGS,
        f"{rows:,} events; the median of {REPEATS} (and the best), a COPY before each; the S3 server discards what it "
        "is sent.",
    )
    async with open_service() as service:
        await fill(service, rows)
        async with discarding_store() as port:
            cases = [await _case(service, port, rows, *case) for case in CASES]
            ones, twos, worker = await _two_at_once(service, port)
    bare = [seconds for case in cases for seconds in case.copies]
    table.add("bare `COPY`, binary, discarded", *_times(bare, rows), "1.00", *[""] * 6)
    for case in cases:
        table.add(case.name, *case.cells(rows))
    table.add("two of Parquet at once", *_times(twos, 2 * rows), *[""] * 5, *_of(worker))
    times = statistics.median(twos) / statistics.median(ones)
    table.note += (
        f" Ratios are to the COPYs beside the same case. Two at once took {times:.2f} times as long as one in the same "
        f"process (target: {TWICE}). Target for the event loop: {LAG * 1000:.0f} ms."
    )
    return table


@dataclass(frozen=True)
class Case:
    """``worker`` has ended."""

    name: str
    target: float
    copies: Sequence[float]
    exports: Sequence[Done]
    worker: Worker

    def cells(self, rows: int) -> Sequence[str]:
        seconds = [done.seconds for done in self.exports]
        typical = sorted(self.exports, key=lambda done: done.seconds)[REPEATS // 2]
        copy = statistics.median(self.copies)
        ratio = f"{typical.seconds / copy:.2f} ({min(seconds) / min(self.copies):.2f})"
        cores, busy = os.cpu_count() or 1, typical.cpu.process + typical.cpu.others
        cpu = f"{typical.cpu.process:.2f}, {typical.cpu.others:.2f}, {max(cores * typical.seconds - busy, 0):.2f} s"
        written = f"{(typical.run.bytes_exported or 0) / 1e6:,.0f} MB"
        never_idle = f"{busy / cores / copy:.2f}"
        return [*_times(seconds, rows), ratio, str(self.target), cpu, never_idle, written, *_of(self.worker)]


def _times(seconds: Sequence[float], rows: int) -> tuple[str, str]:
    median = statistics.median(seconds)
    return f"{median:.2f} ({min(seconds):.2f})", f"{rows / median:,.0f}"


def _of(worker: Worker) -> tuple[str, str]:
    lag = f"{worker.lag.p99 * 1000:.0f} ({worker.lag.most * 1000:.0f}) ms"
    return f"{worker.usage.peak_mib:.0f} MiB", lag


async def fill(service: Service, rows: int) -> None:
    await service.load(await service.write_sample(rows))
    async with service.store() as store:
        await store.execute("VACUUM ANALYZE event_store.events")


async def _case(service: Service, port: int, rows: int, name: str, config: dict[str, Any], target: float) -> Case:
    copies, exports = [], []
    async with open_worker(service) as worker:
        for _ in range(REPEATS):
            copies.append(await _copy(service))
            [done] = await worker.export(port, config, [Window(START, END)], SelectBy.TIMESTAMP)
            assert done.run.records_completed == rows
            exports.append(done)
    return Case(name, target, copies, exports, worker)


async def _two_at_once(service: Service, port: int) -> tuple[Sequence[float], Sequence[float], Worker]:
    """Seconds that one export takes, and two at once, and the worker that has run them, which has ended."""
    [_, config, _], window = CASES[0], Window(START, END)
    ones, twos = [], []
    async with open_worker(service, slots=2) as worker:
        for _ in range(REPEATS):
            [one] = await worker.export(port, config, [window], SelectBy.TIMESTAMP)
            two = await worker.export(port, config, [window, window], SelectBy.TIMESTAMP)
            ones.append(one.seconds)
            twos.append(max(done.seconds for done in two))
    return ones, twos, worker


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
