"""Large rows, and a destination that takes next to nothing: memory is bounded in bytes, and the source waits."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from sqlalchemy import text

from app.embedded import Stack
from app.models import RunStatus
from app.runtime import Runtime
from tests.faults.cases import add_case
from tests.faults.oracle import Oracle
from tests.faults.s3_trouble import open_trouble
from tests.worker.processes import DEADLINE, Workers, ended

MIB: Final = 1024 * 1024
LIMIT: Final = 512 * MIB
"""Of a worker with two runs."""
ROW: Final = 10_000_000
"""Bytes."""
ROWS: Final = 25
"""Of each run. Two runs of these, as they are, would be 500 MB beside all else that a process needs."""
SLOW: Final = 200_000
"""Bytes a second that a connection takes."""
STALLED: Final = 20
"""Looks in a row at which both sources wait to send, and the worker has grown by less than ``DRIFT``."""
DRIFT: Final = 8 * MIB


async def test_a_slow_destination_holds_up_the_source_and_fills_no_memory(
    runtime: Runtime, stack: Stack, workers: Workers, oracle: Oracle, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    workers = replace(workers, env={**workers.env, "TMPDIR": str(scratch)})
    async with open_trouble(stack.s3["endpoint_url"]) as proxy:
        s3 = {**stack.s3, "endpoint_url": proxy.url}
        cases = [await add_case(oracle, s3, events=ROWS, size=ROW) for _ in range(2)]
        places = [proxy.place(case.prefix.rstrip("/"), rate=SLOW) for case in cases]
        async with workers.start(worker_slots="2", lease_ttl="30", heartbeat_interval="5") as worker:
            pid = worker.process.pid
            size = await stalled(runtime, lambda: memory_of(pid, "VmRSS"))
            for place in places:
                place.mend()
            for case in cases:
                run = await ended(runtime, case.runs[0], 4 * DEADLINE)
                assert (run.status, run.attempt) == (RunStatus.COMPLETED, 0), run.latest_error
            peak = memory_of(pid, "VmHWM")
            assert peak <= LIMIT, f"{peak // MIB} MiB at most, {size // MIB} MiB while the destination was slow"
        for case in cases:
            await oracle.judge(case.export_id, case.prefix, windows=1)
    assert list(scratch.iterdir()) == []


async def stalled(runtime: Runtime, size: Callable[[], int]) -> int:
    """The worker's size, once it and its sources have come to a stand."""
    sizes: list[int] = []
    try:
        async with asyncio.timeout(DEADLINE):
            while len(sizes) < STALLED:
                sizes = [*sizes, size()] if await waiting_to_send(runtime) == 2 else []
                if sizes and sizes[-1] > sizes[0] + DRIFT:
                    sizes = []
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"{await waiting_to_send(runtime)} sources wait; {sizes}") from None
    return sizes[-1]


async def waiting_to_send(runtime: Runtime) -> int:
    """How many sources have rows that nobody takes from them."""
    query = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name = 'batch-exports source' AND wait_event = 'ClientWrite'"
    )
    async with runtime.sessions() as session:
        return int((await session.scalars(query)).one())


def memory_of(pid: int, name: str) -> int:
    """Bytes: ``VmRSS`` is what the process has in memory now, ``VmHWM`` the most it ever had."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    [line] = [line for line in status if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024
