"""``python -m tests.faults.hasty``: a worker that does as ever with S3, only in less time.

Its parts are the smallest that stores take, it waits a moment only for an answer, and tries again at once.
"""

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

from aiobotocore.config import AioConfig
from botocore.retries.standard import ExponentialBackoff

from app.destinations.objects import upload
from app.destinations.s3 import client
from tests import preloaded
from tests.worker.processes import HASTE, Worker, Workers
from worker.__main__ import main

PART_BYTES: Final = 5 * 1024 * 1024
ANSWER_LIMIT: Final = 3.0
"""Seconds. Long enough for a busy machine, even if that is not its first try."""


@asynccontextmanager
async def start_hasty(workers: Workers, **settings: str) -> AsyncIterator[Worker]:
    """As ``Workers.start`` does."""
    log_file = workers.directory / f"hasty-{len(list(workers.directory.iterdir()))}.log"
    own = {f"BATCH_EXPORTS_{name.upper()}": value for name, value in {**HASTE, **settings}.items()}
    with log_file.open("wb") as log:
        process = await preloaded.start(__name__, env={**workers.env, **own}, stdout=log, stderr=log)
    worker = Worker(process, log_file)
    try:
        yield worker
        assert await worker.terminate() == 0, worker.log
    finally:
        if process.returncode is None:
            await worker.kill()


def hurry() -> None:
    for owner, name, value in (
        (upload, "PART_BYTES", PART_BYTES),
        (client, "AioConfig", _config),
        (ExponentialBackoff, "delay_amount", lambda *_: 0),
    ):
        assert hasattr(owner, name), name
        setattr(owner, name, value)


def _config(**arguments: Any) -> AioConfig:
    return AioConfig(**{**arguments, "read_timeout": ANSWER_LIMIT})


if __name__ == "__main__":
    hurry()
    sys.exit(main())
