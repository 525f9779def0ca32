"""The worker process: its slots, what it hears, and what keeps it going without that.

Runs live in our own tasks, never in arq's. There are two queues, so that a crowd of hints for runs keeps nobody from
hearing of ticks and backfills; when Redis goes away the slots pull from Postgres and this process ticks by itself.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Coroutine
from typing import Any

import structlog
from arq.cron import CronJob, cron

from app.backfills.advance import Advancer
from app.downloads.cleaning import open_cleaner
from app.exports.due import DueWindows
from app.logs.lines import Log
from app.logs.writer import open_log_writer
from app.notifications.courier import open_courier
from app.pipeline.execute import Executor
from app.pipeline.leftovers import open_sweeper
from app.queue import CONTROL, RUNS
from app.runtime import Runtime, check_services, open_runtime
from app.scheduling.pruning import open_pruner
from app.scheduling.tick import Ticker, checks_of
from app.settings import Settings
from worker.advances import Advances
from worker.listener import Listener, cancel
from worker.pool import RunPool
from worker.tasks import Works, advance, tick, wake

TICKS_MISSED = 3
"""Tick intervals without a tick in this process, after which it ticks by itself. With several workers a cron tick goes
to one of them, so the others do a few more than needed; that does no harm, and shows what a queue that is stuck, full
or somebody else's cannot."""

log = structlog.get_logger(__name__)


class WorkerProcess:
    """Everything one worker process does, from start to a clean stop."""

    def __init__(self, runtime: Runtime, owner: str, logs: Log) -> None:
        self._settings = settings = runtime.settings
        advancer = Advancer(runtime.sessions, runtime.source, runtime.clock, settings.settle_delay)
        ticker = Ticker(
            runtime.sessions,
            runtime.clock,
            DueWindows.of(settings),
            settings.log_retention,
            checks_of(runtime),
            settings.clock_skew_limit,
        )
        self._advances = Advances(advancer, lambda: self._pool.ring())
        self._pool = RunPool(Executor(runtime, owner, logs), settings, self._advances.advance)
        self._works = Works(self._pool, ticker, self._advances)
        self._control = Listener(settings, self._works, CONTROL, [advance], [_cron_tick(settings)])
        self._runs = Listener(settings, self._works, RUNS, [wake])

    async def serve(self, stopping: asyncio.Event) -> None:
        """Work until ``stopping`` is set and every run has ended or is handed back."""
        try:
            async with asyncio.TaskGroup() as group:
                helpers = [group.create_task(work) for work in self._helpers()]
                await self._pool.serve(stopping)
                await cancel(helpers)
        finally:
            await self._advances.stop()

    def _helpers(self) -> list[Coroutine[Any, Any, None]]:
        """What goes on beside the slots until they are done."""
        helpers = [self._control.listen(), self._tick_alone()]
        if self._settings.worker_slots:
            helpers.append(self._runs.listen())
        return helpers

    async def _tick_alone(self) -> None:
        """Tick at the start, and from then on whenever arq's cron does not."""
        interval = self._settings.tick_interval.total_seconds()
        while True:
            if not self._control.listening or self._works.since_tick > TICKS_MISSED * interval:
                await self._works.tick()
            await asyncio.sleep(interval)


def _cron_tick(settings: Settings) -> CronJob:
    every = max(1, min(60, int(settings.tick_interval.total_seconds())))
    return cron(tick, name="tick", second=set(range(0, 60, every)), timeout=300)


async def serve(settings: Settings) -> None:
    """One worker process, until SIGINT or SIGTERM.

    :raises app.errors.SetupError: when a setting is wrong, or a service is not there at the start.
    """
    owner = f"{socket.gethostname()}:{os.getpid()}"
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stopping.set)
    async with open_runtime(settings, application_name="batch-exports worker") as runtime:
        await check_services(settings)
        log.info("worker started", owner=owner, slots=settings.worker_slots)
        # Around the runs, so that what the last of them have to say is stored as well.
        async with (
            open_log_writer(runtime.sessions, runtime.clock, settings) as logs,
            open_courier(runtime),
            open_sweeper(runtime, owner, logs),
            open_pruner(runtime),
            open_cleaner(runtime),
        ):
            await WorkerProcess(runtime, owner, logs).serve(stopping)
    log.info("worker stopped", owner=owner)
