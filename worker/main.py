"""The worker process: its slots, arq's loop, and what keeps both going.

Runs live in our own tasks, never in arq's: arq stops on the first error of Redis, and its jobs with it. Here arq only
listens for hints and for the cron tick; when Redis goes away it is started again, and meanwhile the slots pull from
Postgres and this process ticks by itself.
"""

import asyncio
import os
import signal
import socket
from collections.abc import Collection
from contextlib import suppress
from datetime import UTC
from typing import TYPE_CHECKING, Any, ClassVar, cast

import structlog
from arq.cron import CronJob, cron
from arq.worker import Worker, create_worker
from redis.exceptions import RedisError

from app.backfills.advance import Advancer
from app.exports.due import DueWindows
from app.logs.lines import Log
from app.logs.writer import open_log_writer
from app.pipeline.execute import Executor
from app.queue import QUEUE_NAME, deserialize, open_redis, serialize
from app.runtime import Runtime, check_services, open_runtime
from app.scheduling.tick import Ticker
from app.settings import Settings
from worker.advances import Advances
from worker.pool import RunPool
from worker.tasks import Works, advance, tick, wake

if TYPE_CHECKING:
    from arq.typing import WorkerSettingsBase

CANCEL_AGAIN = 1.0
"""Seconds after which a task that has not ended is cancelled once more."""
RECONNECT_WAIT = 2.0
"""Seconds between attempts to listen on Redis again."""
TICKS_MISSED = 3
"""Tick intervals without a tick in this process, after which it ticks by itself. With several workers a cron tick goes
to one of them, so the others do a few more than needed; that does no harm, and shows what a queue that is stuck, full
or somebody else's cannot."""

log = structlog.get_logger(__name__)


class WorkerSettings:
    """arq's settings. Hints are short, so one lost to a time-out or an error costs nothing: the next tick names the run
    again."""

    functions: ClassVar[list[Any]] = [wake, advance]
    queue_name = QUEUE_NAME
    job_serializer = staticmethod(serialize)
    job_deserializer = staticmethod(deserialize)
    handle_signals = False
    job_timeout = 60
    """Seconds. No hint takes one; a tick that has a week to make up takes some."""
    max_jobs = 100
    queue_read_limit = 1000
    """arq counts running jobs against what it reads; far above max_jobs, so that busy hints starve nobody."""
    max_tries = 3
    """A hint that a shutdown cut off is given to the next worker, rather than reported as given up."""
    keep_result = 0
    poll_delay = 0.1
    """Seconds. A backfill starts within a second of its request, and so does each of its windows."""
    health_check_interval = 30
    timezone = UTC


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
        )
        self._advances = Advances(advancer, lambda: self._pool.ring())
        self._pool = RunPool(Executor(runtime, owner, logs), settings, self._advances.advance)
        self._works = Works(self._pool, ticker, self._advances)
        self._listening = False

    async def serve(self, stopping: asyncio.Event) -> None:
        """Work until ``stopping`` is set and every run has ended or is handed back."""
        try:
            async with asyncio.TaskGroup() as group:
                helpers = [group.create_task(self._listen()), group.create_task(self._tick_alone())]
                await self._pool.serve(stopping)
                await _cancel(helpers)
        finally:
            await self._advances.stop()

    async def _listen(self) -> None:
        while True:
            try:
                await self._listen_once()
            except (RedisError, OSError) as error:
                log.warning("not listening: Redis does not answer; pulling from Postgres", reason=type(error).__name__)
            except Exception:
                log.exception("not listening; pulling from Postgres")
            await asyncio.sleep(RECONNECT_WAIT)

    async def _listen_once(self) -> None:
        """Listen until Redis fails, or until cancelled. Leaves neither tasks nor connections."""
        redis = open_redis(self._settings)
        # arq would write into the settings object it is given, so each listener has one of its own.
        listener = create_worker(
            cast("type[WorkerSettingsBase]", WorkerSettings),
            redis_pool=redis,
            cron_jobs=[_cron_tick(self._settings)],
            ctx={"works": self._works},
            on_startup=self._now_listening,
        )
        try:
            await listener.async_run()
        except asyncio.CancelledError:
            # arq cancels its own loop when it gives up; only our own cancellation ends this one.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
        finally:
            self._listening = False
            try:
                await _end(listener)
            finally:
                # Not by arq's close: it stops half-way, connections open, when one of its tasks has failed.
                with suppress(RedisError, OSError):
                    await redis.aclose()

    async def _now_listening(self, ctx: dict[str, Any]) -> None:
        self._listening = True
        log.info("listening for hints")

    async def _tick_alone(self) -> None:
        """Tick at the start, and from then on whenever arq's cron does not."""
        interval = self._settings.tick_interval.total_seconds()
        while True:
            if not self._listening or self._works.since_tick > TICKS_MISSED * interval:
                await self._works.tick()
            await asyncio.sleep(interval)


def _cron_tick(settings: Settings) -> CronJob:
    every = max(1, min(60, int(settings.tick_interval.total_seconds())))
    return cron(tick, name="tick", second=set(range(0, 60, every)), timeout=300)


async def _end(listener: Worker) -> None:
    tasks = [listener.main_task, *listener.tasks.values(), *listener.job_tasks.values()]
    await _cancel([task for task in tasks if task is not None])


async def _cancel(tasks: Collection["asyncio.Task[Any]"]) -> None:
    """Cancel them, and wait until they have ended, whichever way."""
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        # Asked again after a while: a cancellation that comes at the very moment a wait inside a library ends can be
        # lost there, and the task would go on for ever.
        _, running = await asyncio.wait(running, timeout=CANCEL_AGAIN)


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
        async with open_log_writer(runtime.sessions, runtime.clock, settings) as logs:
            await WorkerProcess(runtime, owner, logs).serve(stopping)
    log.info("worker stopped", owner=owner)
