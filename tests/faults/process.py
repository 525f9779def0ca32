"""``python -m tests.faults.process POINT COUNT SIGNAL``: a worker that sends itself a signal at a named moment.

POINT is one of ``app.failpoints.NAMES``, COUNT which time it is reached, SIGNAL a name: KILL, STOP or TERM. Before that
it says so in its log, for the test to know.
"""

import os
import signal
import sys

import structlog

from app import failpoints
from worker.__main__ import main

log = structlog.get_logger(__name__)


def install(point: str, count: int, name: str) -> None:
    assert point in failpoints.NAMES, point
    reached = 0

    async def act(here: str) -> None:
        nonlocal reached
        reached += here == point
        if here == point and reached == count:
            log.warning(f"failpoint: {point}")
            os.kill(os.getpid(), signal.Signals[f"SIG{name}"])

    failpoints.install(act)


if __name__ == "__main__":
    install(sys.argv[1], int(sys.argv[2]), sys.argv[3])
    sys.exit(main())
