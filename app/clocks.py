"""The clocks of this process. What rows are compared with is the database's."""

import time
from datetime import UTC, datetime
from typing import Final

BOOT_CLOCK: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Goes on while the machine sleeps, where the system has such a clock: leases go on as well."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def elapsing() -> float:
    """Seconds that only go forward; nothing but their differences means anything."""
    return time.clock_gettime(BOOT_CLOCK)
