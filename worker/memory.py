"""What this process gives back to the system."""

import ctypes
from contextlib import suppress

M_MMAP_THRESHOLD = -3
"""glibc's number for it."""
LARGE = 1_000_000
"""Bytes from which a block of memory is the system's own: parts of files, batches of rows."""


def give_back_large_blocks() -> None:
    """Have large blocks returned to the system when they are freed.

    By itself glibc learns, from the first large blocks that are freed, to keep such ones for later; a worker that has
    once had many in flight would stay that large for ever. Where there is no glibc, nothing happens.
    """
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(M_MMAP_THRESHOLD, LARGE)
