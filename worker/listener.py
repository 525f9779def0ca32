"""Listening for hints: arq's loop on one queue, started again whenever Redis has been away.

arq stops on the first error of Redis, and its jobs with it. So no run ever lives in one: jobs only ring bells.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress
from datetime import UTC
from typing import TYPE_CHECKING, Any, ClassVar, cast

import structlog
from arq.cron import CronJob
from arq.worker import Worker, create_worker
from redis.exceptions import RedisError

from app.queue import deserialize, open_redis, serialize
from app.settings import Settings
from worker.tasks import Works

if TYPE_CHECKING:
    from arq.typing import WorkerSettingsBase

CANCEL_AGAIN = 1.0
"""Seconds after which a task that has not ended is cancelled once more."""
RECONNECT_WAIT = 2.0
"""Seconds between attempts to listen on Redis again."""

log = structlog.get_logger(__name__)


class ListenerSettings:
    """arq's settings. Hints are short, so one lost to a time-out or an error costs nothing: the next tick names the run
    again."""

    job_serializer = staticmethod(serialize)
    job_deserializer = staticmethod(deserialize)
    handle_signals: ClassVar[bool] = False
    job_timeout: ClassVar[int] = 60
    """Seconds. No hint takes one; a tick that has a week to make up takes some."""
    max_jobs: ClassVar[int] = 100
    queue_read_limit: ClassVar[int] = 1000
    """arq counts running jobs against what it reads; far above max_jobs, so that busy hints starve nobody."""
    max_tries: ClassVar[int] = 3
    """A hint that a shutdown cut off is given to the next worker, rather than reported as given up."""
    keep_result: ClassVar[int] = 0
    poll_delay: ClassVar[float] = 0.1
    """Seconds. A backfill starts within a second of its request, and so does each of its windows."""
    health_check_interval: ClassVar[int] = 30
    timezone = UTC


class Listener:
    """Hears the hints of one queue, for as long as :meth:`listen` runs."""

    def __init__(
        self,
        settings: Settings,
        works: Works,
        queue: str,
        functions: Sequence[Callable[..., Awaitable[None]]],
        cron_jobs: Sequence[CronJob] = (),
    ) -> None:
        self._settings = settings
        self._works = works
        self._queue = queue
        self._functions = functions
        self._cron_jobs = cron_jobs
        self.listening = False

    async def listen(self) -> None:
        """Never returns; an error of Redis is logged and survived."""
        while True:
            try:
                await self._listen_once()
            except (RedisError, OSError) as error:
                reason = type(error).__name__
                log.warning(
                    "not listening: Redis does not answer; pulling from Postgres", queue=self._queue, reason=reason
                )
            except Exception:
                log.exception("not listening; pulling from Postgres", queue=self._queue)
            await asyncio.sleep(RECONNECT_WAIT)

    async def _listen_once(self) -> None:
        """Listen until Redis fails, or until cancelled. Leaves neither tasks nor connections."""
        redis = open_redis(self._settings)
        # arq would write into the settings object it is given, so each loop has one of its own.
        loop = create_worker(
            cast("type[WorkerSettingsBase]", ListenerSettings),
            queue_name=self._queue,
            functions=self._functions,
            cron_jobs=list(self._cron_jobs) or None,
            redis_pool=redis,
            ctx={"works": self._works},
            on_startup=self._now_listening,
        )
        try:
            await loop.async_run()
        except asyncio.CancelledError:
            # arq cancels its own loop when it gives up; only our own cancellation ends this one.
            if (task := asyncio.current_task()) is not None and task.cancelling():
                raise
        finally:
            self.listening = False
            try:
                await _end(loop)
            finally:
                # Not by arq's close: it stops half-way, connections open, when one of its tasks has failed.
                with suppress(RedisError, OSError):
                    await redis.aclose()

    async def _now_listening(self, ctx: dict[str, Any]) -> None:
        self.listening = True
        log.info("listening for hints", queue=self._queue)


async def _end(loop: Worker) -> None:
    tasks = [loop.main_task, *loop.tasks.values(), *loop.job_tasks.values()]
    await cancel([task for task in tasks if task is not None])


async def cancel(tasks: Collection["asyncio.Task[Any]"]) -> None:
    """Cancel them, and wait until they have ended, whichever way."""
    running = set(tasks)
    while running:
        for task in running:
            task.cancel()
        # Asked again after a while: a cancellation that comes at the very moment a wait inside a library ends can be
        # lost there, and the task would go on for ever.
        _, running = await asyncio.wait(running, timeout=CANCEL_AGAIN)
