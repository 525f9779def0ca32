"""Time limits for what cleans up after itself, and may never come to the end of that."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

AGAIN: Final = 1.0
"""Seconds after which what was cancelled, and still goes on, is cancelled again."""


@asynccontextmanager
async def insisting(seconds: float) -> AsyncIterator[None]:
    """As :func:`asyncio.timeout`, which cancels once: a database's client that is cancelled in the middle of a
    transaction rolls it back, and on a connection that has fallen silent waits for the answer for ever.

    :raises TimeoutError: when the block takes longer.
    """
    task = asyncio.current_task()
    assert task is not None
    async with asyncio.timeout(seconds):
        canceller = _Canceller(task, seconds + AGAIN)
        try:
            yield
        finally:
            canceller.stop()


class _Canceller:
    """Cancels a task after ``seconds``, and again and again."""

    def __init__(self, task: "asyncio.Task[Any]", seconds: float) -> None:
        self._task = task
        self._times = 0
        self._wait(seconds)

    def stop(self) -> None:
        self._timer.cancel()
        # The time limit's own cancellation counts alone, so that it knows itself by it.
        for _ in range(self._times):
            self._task.uncancel()

    def _wait(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._cancel)

    def _cancel(self) -> None:
        self._times += 1
        self._task.cancel()
        self._wait(AGAIN)
