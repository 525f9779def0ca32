"""Random delays that keep exports of one interval from starting all at once. Pure: the same window, the same delay."""

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

from app.models.enums import Interval

MOST = {
    Interval.EVERY_5_MINUTES: timedelta(minutes=1),
    Interval.EVERY_15_MINUTES: timedelta(minutes=3),
    Interval.HOUR: timedelta(minutes=15),
    Interval.DAY: timedelta(minutes=20),
    Interval.WEEK: timedelta(minutes=30),
}
"""The longest delay of each interval (the contract's section 5.3)."""


def jitter(export_id: UUID, end: datetime, interval: Interval, share: float) -> timedelta:
    """How much later than its window's ``end`` a run may begin: from nothing to ``share`` of the interval's most.

    Drawn from the export and the window, not by chance: a pass that is repeated, or made by several schedulers at once,
    comes to the same moment.
    """
    seed = export_id.bytes + end.astimezone(UTC).isoformat().encode()
    drawn = int.from_bytes(hashlib.blake2b(seed, digest_size=8).digest()) / 2**64
    return MOST[interval] * share * drawn
