"""Running ``batch-exports`` as a script would: a process of its own, its two outputs apart."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.settings import ENV_PREFIX, Settings
from tests import preloaded
from tests.preloaded import Process

DEADLINE = 90.0
"""Seconds after which a command has failed rather than being slow."""


@dataclass(frozen=True)
class Done:
    status: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        """The one JSON document of standard output."""
        assert self.status == 0, self.err
        return json.loads(self.out)

    @property
    def reason(self) -> str:
        """The one line that says why the command failed."""
        assert (self.status, self.out) == (1, ""), (self.status, self.out, self.err)
        [line] = self.err.splitlines()
        return line


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """What a process needs to use the test's own database."""
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith(ENV_PREFIX)},
        "BATCH_EXPORTS_DATABASE_URL": settings.database_url.get_secret_value(),
        "BATCH_EXPORTS_REDIS_URL": settings.redis_url.get_secret_value(),
        "BATCH_EXPORTS_ENCRYPTION_KEYS": ",".join(key.get_secret_value() for key in settings.encryption_keys),
        **more,
    }


async def start(env: Mapping[str, str], *arguments: str, cwd: Path | None = None) -> Process:
    return await preloaded.start("app.cli", *arguments, env=env, cwd=cwd, stdin=preloaded.PIPE)


async def run(env: Mapping[str, str], *arguments: str, stdin: bytes = b"", cwd: Path | None = None) -> Done:
    process = await start(env, *arguments, cwd=cwd)
    out, err = await asyncio.wait_for(process.communicate(stdin), DEADLINE)
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def serving(env: Mapping[str, str], *arguments: str, stop: int) -> AsyncIterator[tuple[Any, Process]]:
    """A verb that prints its document when it is ready and runs on; ended with the signal ``stop``, and cleanly."""
    process = await start(env, *arguments)
    assert process.stdout is not None
    assert process.stderr is not None
    # Drained from the start: a full pipe would stop the process.
    errors = asyncio.create_task(process.stderr.read())
    try:
        line = await asyncio.wait_for(process.stdout.readline(), DEADLINE)
        assert line, (await errors).decode()
        yield json.loads(line), process
    finally:
        if process.returncode is None:
            process.send_signal(stop)
        await asyncio.wait_for(process.wait(), DEADLINE)
        said = (await errors).decode()
    assert process.returncode == 0, said
    assert "Traceback" not in said, said
