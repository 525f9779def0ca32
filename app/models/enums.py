"""The words that rows, schemas and code share. Spelled as the contract spells them."""

from enum import StrEnum


class Model(StrEnum):
    EVENTS = "events"
    PERSONS = "persons"
    SESSIONS = "sessions"
    HOGQL = "hogql"


class Interval(StrEnum):
    """How often an export runs."""

    EVERY_5_MINUTES = "every 5 minutes"
    EVERY_15_MINUTES = "every 15 minutes"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"


class RunStatus(StrEnum):
    """``Starting``: not claimed yet. ``Running``: claimed at least once; perhaps waiting for another attempt."""

    CANCELLED = "Cancelled"
    COMPLETED = "Completed"
    CONTINUED_AS_NEW = "ContinuedAsNew"
    FAILED = "Failed"
    FAILED_RETRYABLE = "FailedRetryable"
    FAILED_BILLING = "FailedBilling"
    TERMINATED = "Terminated"
    TIMED_OUT = "TimedOut"
    RUNNING = "Running"
    STARTING = "Starting"


class BackfillStatus(StrEnum):
    CANCELLED = "Cancelled"
    COMPLETED = "Completed"
    CONTINUED_AS_NEW = "ContinuedAsNew"
    FAILED = "Failed"
    FAILED_RETRYABLE = "FailedRetryable"
    TERMINATED = "Terminated"
    TIMED_OUT = "TimedOut"
    RUNNING = "Running"
    STARTING = "Starting"


class DeliveryStatus(StrEnum):
    """Of a notification on its way to one recipient."""

    WAITING = "Waiting"
    DELIVERED = "Delivered"
    GIVEN_UP = "GivenUp"


class SelectBy(StrEnum):
    """Which time of an event decides the window it belongs to."""

    INGESTED_AT = "ingested_at"
    TIMESTAMP = "timestamp"


UNFINISHED_RUN = (RunStatus.STARTING, RunStatus.RUNNING)
UNFINISHED_BACKFILL = (BackfillStatus.STARTING, BackfillStatus.RUNNING)
