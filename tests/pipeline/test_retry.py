"""What follows a failed attempt."""

from datetime import timedelta

import pytest

from app.errors import Defect, Misconfigured, Throttled, Transient, Unsupported
from app.models import RunStatus
from app.pipeline.retry import RetryPolicy

POLICY = RetryPolicy(timedelta(seconds=1), timedelta(minutes=10), max_attempts=5)


@pytest.mark.parametrize("error", [Misconfigured("no such bucket"), Unsupported("not yet")])
def test_terminal_errors_end_the_run(error: Misconfigured) -> None:
    assert POLICY.verdict(error, 0, 0.5) is RunStatus.FAILED


@pytest.mark.parametrize("error", [Transient("reset"), Throttled("slow down"), Defect("KeyError")])
def test_other_errors_wait_and_try_again(error: Transient) -> None:
    assert POLICY.verdict(error, 0, 0.5) == timedelta(seconds=0.5)


def test_the_bound_doubles_until_the_maximum() -> None:
    patient = RetryPolicy(timedelta(seconds=1), timedelta(seconds=10), max_attempts=1000)
    waits = [patient.verdict(Transient("reset"), failed, 1.0) for failed in (0, 1, 2, 3, 4, 500)]
    assert waits == [timedelta(seconds=seconds) for seconds in (1, 2, 4, 8, 10, 10)]


def test_the_last_attempt_ends_the_run() -> None:
    assert POLICY.verdict(Transient("reset"), 3, 0.5) == timedelta(seconds=4)
    assert POLICY.verdict(Transient("reset"), 4, 0.5) is RunStatus.FAILED_RETRYABLE


def test_errors_read_as_class_and_message_without_nul() -> None:
    assert str(Misconfigured("bucket\x00 gone")) == "Misconfigured: bucket gone"
