"""How this process uses memory: quickly while it works, and no more than it needs in between."""

import asyncio
import ctypes
import gc
from contextlib import suppress
from typing import Final

import pyarrow as pa

M_TRIM_THRESHOLD: Final = -1
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
"""glibc's numbers for them."""
LARGE: Final = 8 * 1024 * 1024
"""Bytes from which a block is the system's own: larger than what batches are made of, unless their rows are huge."""
KEPT: Final = 64 * 1024 * 1024
"""Bytes that may be free and stay with the process while it works; more than a run frees at once."""


def keep_freed_blocks() -> None:
    """Have glibc use again what batches and parts have freed.

    By itself it hands large blocks back to the system, and asks for them again, hundreds of times a second: clearing
    and mapping those pages took a fifth of the time of reading. Where there is no glibc, nothing happens.
    """
    with suppress(OSError, AttributeError):
        allocator = ctypes.CDLL(None)
        allocator.mallopt(M_MMAP_THRESHOLD, LARGE)
        allocator.mallopt(M_TRIM_THRESHOLD, KEPT)
        # With an arena for every thread, what one has freed would be of no use to the others.
        allocator.mallopt(M_ARENA_MAX, 1)


def leave_out_of_collections() -> None:
    """Have the garbage collector never look again at what has been imported: that holds up the event loop for as long
    as it takes, and finds nothing."""
    gc.collect()
    gc.freeze()


async def give_back() -> None:
    """Return to the system what is free. A worker would stay as large as its largest run has made it for ever."""
    await asyncio.to_thread(_trim)


def _trim() -> None:
    pa.default_memory_pool().release_unused()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
