"""What follows a failed attempt. Pure: from values to values."""

from dataclasses import dataclass
from datetime import timedelta

from app.errors import RunError
from app.models import RunStatus


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """``initial`` and ``maximum`` bound the wait before the second attempt and before any later one."""

    initial: timedelta
    maximum: timedelta
    max_attempts: int

    def verdict(self, error: RunError, failed_before: int, chance: float) -> RunStatus | timedelta:
        """How long to wait before the next attempt, or the status the run ends in.

        ``failed_before`` counts the attempts that failed earlier; ``chance`` lies in [0, 1). The wait is drawn from the
        whole range up to the bound, so that runs that failed together do not come back together.
        """
        if not error.retryable:
            return RunStatus.FAILED
        if failed_before + 1 >= self.max_attempts:
            return RunStatus.FAILED_RETRYABLE
        # The exponent is capped long before the bound is: 2 ** attempts of a broken setting must not overflow.
        bound: timedelta = min(self.initial * 2 ** min(failed_before, 32), self.maximum)
        return bound * chance
