"""Peak memory of a worker exporting a window, and one of five times the events."""

from typing import Final

from app.models import SelectBy
from app.scheduling.intervals import Window
from benchmarks.export import CASES, discarding_store, fill
from benchmarks.service import END, START, open_service
from benchmarks.tables import Table
from benchmarks.worker import open_worker

TIMES: Final = 5
LIMIT: Final = 400
"""MiB."""
DIFFERENCE: Final = 10
"""Per cent."""


async def measure(rows: int) -> Table:
    table = Table(
        ["", "events", "peak memory", f"{TIMES} times the events", "difference"],
        f"Targets: {LIMIT} MiB for both, and {DIFFERENCE} % between them. A worker process of its own for each.",
    )
    async with open_service() as service, discarding_store() as port:
        await fill(service, rows * TIMES)
        short = Window(START, START + (END - START) / TIMES)
        for name, config, _ in CASES:
            peaks, exported = [], []
            for window in (short, Window(START, END)):
                async with open_worker(service) as worker:
                    [done] = await worker.export(port, config, [window], SelectBy.TIMESTAMP)
                peaks.append(worker.usage.peak_mib)
                exported.append(done.run.records_completed or 0)
            assert exported[1] == rows * TIMES
            small, large = peaks
            cells = [f"{exported[0]:,}", f"{small:.0f} MiB", f"{large:.0f} MiB", f"{(large / small - 1) * 100:+.0f} %"]
            table.add(name, *cells)
    return table
