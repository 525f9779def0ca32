"""Named moments of a run at which a test may kill, stop or hold up the worker. In production nothing happens at any."""

from collections.abc import Awaitable, Callable
from typing import Final

CLAIMED: Final = "claimed"
"""A run is this worker's; nothing has been done yet."""
PART_SENT: Final = "part sent"
"""A piece of a file is at the destination, invisible."""
ALL_SENT: Final = "all sent"
"""Everything is there, invisible; the fence comes next."""
ANNOUNCED: Final = "announced"
"""The fence has been passed: what is to become visible is in the records."""
FILE_COMMITTED: Final = "file committed"
"""A file is visible; others, or the manifest, are not yet."""
MANIFEST_COMMITTED: Final = "manifest committed"
"""All is visible; what it replaces is not deleted yet."""
WRITTEN: Final = "written"
"""The destination is done; the run's row does not say so yet."""
RECORDED: Final = "recorded"
"""The row says how the attempt ended."""

NAMES: Final = (
    CLAIMED,
    PART_SENT,
    ALL_SENT,
    ANNOUNCED,
    FILE_COMMITTED,
    MANIFEST_COMMITTED,
    WRITTEN,
    RECORDED,
)

_action: Callable[[str], Awaitable[None]] | None = None


def install(action: Callable[[str], Awaitable[None]] | None) -> None:
    """Have ``action`` called with the name of every moment that is reached; None: nothing any more."""
    global _action
    _action = action


async def reach(name: str) -> None:
    if _action is not None:
        await _action(name)
