"""The workers, started again whenever they end, as a supervisor would; and what they use."""

import asyncio
import signal
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import psutil

from tests.worker.processes import HASTE, Worker, Workers

WORKERS: Final = 3
ELDER: Final = 0
"""This one is never killed, so that what it uses at the end can be held against what it used at the start."""
SETTINGS: Final = {
    **HASTE,
    "worker_slots": "3",
    "lease_ttl": "9",
    "heartbeat_interval": "1.5",
    "settle_delay": "1",
    "late_commit_wait": "10",
    "retry_backoff_max": "2",
    "worker_shutdown_grace": "1",
}
START_AGAIN: Final = 0.5
"""Seconds after which an ended worker is started again."""
EXPECTED: Final = (0, -signal.SIGKILL)
MIB: Final = 1024 * 1024


@dataclass
class Usage:
    memory_mib: float = 0
    files: int = 0
    connections: int = 0

    def at_least(self, other: "Usage") -> "Usage":
        return Usage(
            max(self.memory_mib, other.memory_mib),
            max(self.files, other.files),
            max(self.connections, other.connections),
        )


@dataclass
class Crew:
    workers: Workers
    at: dict[int, Worker] = field(default_factory=dict)
    """By place; those that run."""
    peak: Usage = field(default_factory=Usage)
    """Of any of them."""
    ends: Counter[str] = field(default_factory=Counter)
    strange: list[str] = field(default_factory=list)
    """Ends that nobody had asked for."""
    _over: bool = False
    _tasks: "list[asyncio.Task[None]]" = field(default_factory=list)

    async def start(self) -> None:
        self._tasks = [asyncio.create_task(self._keep(place)) for place in range(WORKERS)]
        self._tasks.append(asyncio.create_task(self._watch()))
        async with asyncio.timeout(60):
            while len(self.at) < WORKERS:
                await asyncio.sleep(0.1)
        for worker in self.at.values():
            await worker.says("listening for hints", times=2)

    async def stop(self) -> None:
        self._over = True
        for worker in list(self.at.values()):
            with suppress(ProcessLookupError):
                worker.process.terminate()
        await asyncio.gather(*self._tasks)

    def elder(self) -> Usage:
        return _usage(self.at[ELDER]) or Usage()

    async def _keep(self, place: int) -> None:
        while not self._over:
            async with self.workers.start(at=None, **SETTINGS) as worker:
                self.at[place] = worker
                status = await worker.process.wait()
            del self.at[place]
            # One that finds Postgres or Valkey away when it starts says so and ends: the supervisor's affair.
            if status not in EXPECTED and "worker started" in worker.log:
                self.strange.append(f"status {status}: {worker.log_file}")
            self.ends[str(status)] += 1
            await asyncio.sleep(START_AGAIN)

    async def _watch(self) -> None:
        while not self._over:
            for worker in list(self.at.values()):
                if (usage := _usage(worker)) is not None:
                    self.peak = self.peak.at_least(usage)
            await asyncio.sleep(1)


def _usage(worker: Worker) -> Usage | None:
    try:
        process = psutil.Process(worker.process.pid)
        with process.oneshot():
            return Usage(process.memory_info().rss / MIB, process.num_fds(), len(process.net_connections("tcp")))
    except psutil.Error:
        return None
