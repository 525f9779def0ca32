"""A stack of a test's own, whose services it may restart and kill."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
from pydantic import SecretStr

from app.db.migrate import upgrade
from app.embedded import Stack, open_stack
from app.embedded.service import Service
from app.runtime import Runtime, open_runtime
from app.settings import Settings
from tests.faults.oracle import Oracle, open_oracle
from tests.worker.processes import Workers, workers_on


@asynccontextmanager
async def open_own(directory: Path, settings: Settings) -> AsyncIterator["Own"]:
    async with open_stack(directory / "stack") as stack:
        await upgrade(stack.database_url)
        urls = {"database_url": SecretStr(stack.database_url), "redis_url": SecretStr(stack.redis_url)}
        own = settings.model_copy(update=urls)
        async with open_runtime(own, application_name="tests") as runtime, open_oracle(runtime, stack) as oracle:
            yield Own(stack, runtime, oracle, workers_on(own, directory / "workers"))


class Own:
    def __init__(self, stack: Stack, runtime: Runtime, oracle: Oracle, workers: Workers) -> None:
        self.stack = stack
        self.runtime = runtime
        self.oracle = oracle
        self.workers = workers

    async def restart(self, name: str, how: signal.Signals) -> None:
        """Have a service end by a signal, and start it again on what it had written down."""
        service = self.service(name)
        pid = service.pid
        assert pid is not None
        process = psutil.Process(pid)
        process.send_signal(how)
        async with asyncio.timeout(30):
            while _lives(process):
                await asyncio.sleep(0.01)
        await service.start()

    def service(self, name: str) -> Service:
        [service] = [service for service in self.stack.services if service.name == name]
        return service


def _lives(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
