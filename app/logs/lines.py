"""A line of an export's log, and the words of all lines that there are.

Only texts of our own and the messages of run errors come in here: nothing else can be known to hold no secret.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol
from uuid import UUID

from app.errors import RunError
from app.scheduling.intervals import Window

MAX_MESSAGE = 10_000
"""Characters. An error may repeat a whole row; a log that people read need not."""


class Level(StrEnum):
    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class Line:
    """``run_id`` None: about the export itself."""

    export_id: UUID
    run_id: UUID | None
    level: Level
    message: str


class Log(Protocol):
    """Where lines are written to. Neither waits nor fails."""

    def write(self, line: Line) -> None: ...


class NoLog:
    """Keeps nothing."""

    def write(self, line: Line) -> None:
        pass


def storable(message: str) -> str:
    """The message without what Postgres cannot hold, and not longer than anybody would read."""
    clean = message.replace("\x00", "").encode("utf-8", "replace").decode()
    return clean if len(clean) <= MAX_MESSAGE else f"{clean[: MAX_MESSAGE - 1]}…"


def started(window: Window, attempt: int) -> str:
    again = f" (attempt {attempt})" if attempt > 1 else ""
    return f"Exporting {_range(window)}{again}"


def completed(window: Window, rows: int) -> str:
    if rows == 0:
        return f"Done early: there is no data to export for {_range(window)}"
    return f"Done: {rows} {'record' if rows == 1 else 'records'} exported for {_range(window)}"


def will_retry(window: Window, attempt: int, error: RunError, wait: timedelta) -> str:
    seconds = max(1, round(wait.total_seconds()))
    return f"Attempt {attempt} for {_range(window)} failed and will be repeated in {seconds} s. {error}"


def ended(window: Window, attempts: int, error: RunError) -> str:
    if error.retryable:
        return f"Failed for {_range(window)} after {attempts} attempts. {error}"
    return f"Failed for {_range(window)} with an error that another attempt would not mend. {error}"


def sanitised(rows: int) -> str:
    return (
        f"{rows} {'record' if rows == 1 else 'records'} held characters that JSON readers cannot read (NUL, or half "
        "of a surrogate pair); they were exported without these."
    )


def same_keys(exports: Sequence[UUID]) -> str:
    """``exports`` are others than the one whose log it is."""
    return (
        f"The objects of this run have overwritten those of export {', '.join(map(str, exports))}: both write under "
        "the same keys. Give one of them a prefix of its own, and retry its runs."
    )


def undeleted(keys: Sequence[str], reason: str) -> str:
    return f"{len(keys)} replaced objects could not be deleted, so {', '.join(keys[:3])}… are out of date. {reason}"


def half_overwritten() -> str:
    return (
        "The run ended when it had overwritten some of an earlier run's objects and not all: the interval may hold a "
        "mixture. Retry the run, which writes all of them again."
    )


CANCELLED = "The run was cancelled"


def skipped(windows: int, start: datetime, end: datetime, limit: int) -> str:
    return (
        f"The service was down for longer than it makes up for: {windows} intervals from {_moment(start)} to "
        f"{_moment(end)} are skipped, the newest {limit} are run. A backfill exports the rest."
    )


def auto_paused(failed: int, runs: int, error: str, backfills: int) -> str:
    cancelled = f", and cancelled {_number(backfills, 'unfinished backfill')}" if backfills else ""
    return (
        f"Paused this export{cancelled}, because {failed} of its latest {runs} runs failed. The last error: "
        f"{error.rstrip('.')}. Mend that and unpause the export; unpausing with a backfill exports what it misses "
        "meanwhile."
    )


def missing(windows: Sequence[Window]) -> str:
    return (
        f"{_number(len(windows), 'interval')} had no run though there should have been one, the first of them "
        f"{_range(windows[0])}. Runs have been made for all of them."
    )


def overdue(windows: int, oldest: Window) -> str:
    return (
        f"{_number(windows, 'interval')} should have been exported by now, the oldest of them {_range(oldest)}. See "
        "whether workers are running, and whether the event store and the destination answer."
    )


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _range(window: Window) -> str:
    start = _moment(window.start) if window.start is not None else "the beginning"
    return f"{start} to {_moment(window.end)}"


def _moment(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
