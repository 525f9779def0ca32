"""Stacks in processes of their own, which tests may kill."""

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

DEADLINE = 60.0
"""Seconds after which a test has failed rather than being slow."""

PROGRAM = """
import asyncio, json, signal, sys
from pathlib import Path
from app.embedded import open_stack

async def main():
    stop = asyncio.Event()
    task = asyncio.current_task()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, task.cancel)
    async with open_stack(Path(sys.argv[1]), durable=False) as stack:
        pids = {service.name: service.pid for service in stack.services}
        print(json.dumps({"env": stack.env, "s3": stack.s3, "pids": pids}), flush=True)
        await stack.watch()

try:
    asyncio.run(main())
except asyncio.CancelledError:
    pass
"""


@dataclass(frozen=True)
class StackProcess:
    process: asyncio.subprocess.Process
    document: dict[str, Any]

    @property
    def services(self) -> list[psutil.Process]:
        return [psutil.Process(pid) for pid in self.document["pids"].values()]

    def family(self) -> list[psutil.Process]:
        """The process and all it has started, services' own children too."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    async def stop(self, with_signal: signal.Signals) -> str:
        """Its standard error, once it has ended."""
        self.process.send_signal(with_signal)
        async with asyncio.timeout(DEADLINE):
            _, err = await self.process.communicate()
        return err.decode()

    async def says(self, words: str) -> None:
        assert self.process.stderr is not None
        async with asyncio.timeout(DEADLINE):
            while words not in (line := (await self.process.stderr.readline()).decode()):
                assert line, f"it ended without saying {words!r}"


@asynccontextmanager
async def stack_process(directory: Path, python: str = sys.executable, **options: Any) -> AsyncIterator[StackProcess]:
    """A running stack; killed at the end if it still runs."""
    process = await asyncio.create_subprocess_exec(
        *(python, "-c", PROGRAM, str(directory)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        **options,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(DEADLINE):
            line = await process.stdout.readline()
            if not line:
                _, err = await process.communicate()
                raise AssertionError(err.decode())
        yield StackProcess(process, json.loads(line))
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def gone(processes: list[psutil.Process]) -> None:
    """Wait until none of them is left."""
    async with asyncio.timeout(DEADLINE):
        while [process for process in processes if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]:
            await asyncio.sleep(0.05)
