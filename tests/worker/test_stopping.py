"""A worker ends when it is asked to, whatever its libraries make of a cancellation."""

import asyncio

import pytest

from worker import listener


async def test_a_lost_cancellation_is_sent_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "CANCEL_AGAIN", 0.01)
    lost = asyncio.Event()

    async def loses_one() -> None:
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if lost.is_set():
                    raise
                lost.set()

    task = asyncio.create_task(loses_one())
    await asyncio.sleep(0)
    await listener.cancel([task])
    assert lost.is_set()
    assert task.cancelled()
