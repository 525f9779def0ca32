"""Requests that do not wait for one another: a few at a time, in the order they are given."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Final, TypeVar

T = TypeVar("T")

AT_ONCE: Final = 8
"""Small requests in flight, per run. The client's pool has room for ten connections."""


async def together(things: Iterable[T], work: Callable[[T], Awaitable[None]], at_once: int = AT_ONCE) -> None:
    """Do ``work`` with each. An error, the first of all, and a cancellation end what is under way, and nothing more is
    begun."""
    waiting = iter(things)

    async def worker() -> None:
        for thing in waiting:
            await work(thing)

    try:
        async with asyncio.TaskGroup() as workers:
            for _ in range(at_once):
                workers.create_task(worker())
    except BaseExceptionGroup as errors:
        raise errors.exceptions[0] from None
