"""What follows a failed attempt."""

from datetime import timedelta

import pytest

from app.errors import DataError, Defect, Misconfigured, RunError, SourceUnavailable, Throttled, TimedOut, Transient
from app.errors import Unsupported as NotYet
from app.models import RunStatus
from app.pipeline.retry import PERSISTENCE, RetryPolicy

POLICY = RetryPolicy(timedelta(seconds=1), timedelta(minutes=10))
HOURS = timedelta(hours=6)


def waits(error: RunError, tries: int, chance: float) -> list[timedelta | RunStatus]:
    return [POLICY.verdict(error, alike, HOURS, chance) for alike in range(tries)]


def seconds(*numbers: float) -> list[timedelta]:
    return [timedelta(seconds=number) for number in numbers]


@pytest.mark.parametrize("error", [DataError("too long"), NotYet("not yet")])
def test_what_another_attempt_would_not_mend_ends_the_run(error: RunError) -> None:
    assert POLICY.verdict(error, 0, HOURS, 0.5) is RunStatus.FAILED


def test_an_attempt_that_took_too_long_is_the_last() -> None:
    assert POLICY.verdict(TimedOut("6 h"), 0, HOURS, 0.5) is RunStatus.TIMED_OUT


@pytest.mark.parametrize("error", [Transient("reset"), SourceUnavailable("away")])
def test_what_may_pass_is_met_with_waits_from_nothing_to_a_bound_that_doubles(error: RunError) -> None:
    assert waits(error, 5, 1.0) == seconds(1, 2, 4, 8, 16)
    assert waits(error, 3, 0.0) == seconds(0, 0, 0)
    assert POLICY.verdict(error, 1000, HOURS, 1.0) == timedelta(minutes=10)


def test_what_may_pass_ends_the_run_when_its_time_is_over() -> None:
    assert POLICY.verdict(Transient("reset"), 3, timedelta(seconds=9), 1.0) == timedelta(seconds=8)
    assert POLICY.verdict(Transient("reset"), 3, timedelta(seconds=8), 1.0) is RunStatus.FAILED_RETRYABLE
    assert POLICY.verdict(Transient("reset"), 0, timedelta(seconds=-1), 0.0) is RunStatus.FAILED_RETRYABLE


def test_who_asks_to_slow_down_is_left_alone_for_longer() -> None:
    assert waits(Throttled("slow down"), 3, 0.0) == seconds(15, 30, 60)
    assert waits(Throttled("slow down"), 3, 1.0) == seconds(30, 60, 120)


def test_permissions_are_tried_three_times() -> None:
    assert waits(Misconfigured("no access"), 3, 1.0) == [*seconds(10, 20), RunStatus.FAILED]


def test_a_bug_is_tried_ten_times() -> None:
    assert [verdict for verdict in waits(Defect("KeyError"), 10, 1.0) if isinstance(verdict, RunStatus)] == [
        RunStatus.FAILED_RETRYABLE
    ]


def test_a_setting_may_allow_fewer_attempts_but_not_more() -> None:
    strict = RetryPolicy(timedelta(seconds=1), timedelta(minutes=10), max_attempts=2)
    assert strict.verdict(Transient("reset"), 0, HOURS, 1.0) == timedelta(seconds=1)
    assert strict.verdict(Transient("reset"), 1, HOURS, 1.0) is RunStatus.FAILED_RETRYABLE
    assert strict.verdict(NotYet("not yet"), 0, HOURS, 1.0) is RunStatus.FAILED


def test_every_class_of_error_is_met_somehow() -> None:
    def classes(of: type[RunError]) -> set[str]:
        own = {of.error_class} if hasattr(of, "error_class") else set()
        return own.union(*(classes(below) for below in of.__subclasses__()))

    assert classes(RunError) <= PERSISTENCE.keys()


def test_errors_read_as_class_and_message_without_nul() -> None:
    assert str(Misconfigured("bucket\x00 gone")) == "Misconfigured: bucket gone"
