"""What follows a failed attempt. Pure: from values to values."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from app.errors import RunError
from app.models import RunStatus


@dataclass(frozen=True, slots=True)
class Persistence:
    """How errors of one class are met."""

    tries: int | None = None
    """Attempts in a row that may end so; None: as many as there is time for."""
    slower: int = 1
    """How many times longer than usual the first wait is."""
    spread: float = 1.0
    """Share of each wait that is left to chance."""


PERSISTENCE: Final[Mapping[str, Persistence]] = {
    "transient": Persistence(),
    "source": Persistence(),
    # Coming back at once, by chance, would be what the other side asked us not to do.
    "throttled": Persistence(slower=30, spread=0.5),
    # Permissions that were granted a moment ago may not be known everywhere yet.
    "configuration": Persistence(tries=3, slower=10),
    "data": Persistence(tries=1),
    "unsupported": Persistence(tries=1),
    "retention": Persistence(tries=1),
    "timeout": Persistence(tries=1),
    # A bug: what brought it out may pass, and if not, somebody has to look at it.
    "defect": Persistence(tries=10),
}
"""By ``RunError.error_class``."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """``initial`` bounds the usual wait before the second attempt, ``maximum`` every wait; ``max_attempts`` holds for
    all classes that are tried more often."""

    initial: timedelta
    maximum: timedelta
    max_attempts: int | None = None

    def verdict(self, error: RunError, alike: int, left: timedelta, chance: float) -> RunStatus | timedelta:
        """How long to wait before the next attempt, or the status the run ends in.

        ``alike`` counts the attempts right before that failed with the same class; ``left`` is the time in which there
        may be further ones; ``chance`` lies in [0, 1). The wait is drawn from a range up to its bound, so that runs
        that failed together do not come back together.
        """
        persistence = PERSISTENCE[error.error_class]
        limits = [limit for limit in (persistence.tries, self.max_attempts) if limit is not None]
        if limits and alike + 1 >= min(limits):
            return _end(error)
        # The exponent is capped long before the bound is: 2 ** attempts of a broken setting must not overflow.
        bound: timedelta = min(self.initial * persistence.slower * 2 ** min(alike, 32), self.maximum)
        wait = bound * (1 - persistence.spread * (1 - chance))
        return wait if wait < left else _end(error)


def _end(error: RunError) -> RunStatus:
    if error.error_class == "timeout":
        return RunStatus.TIMED_OUT
    return RunStatus.FAILED_RETRYABLE if error.retryable else RunStatus.FAILED
