"""Runs, the workers that make them, and what they have to say."""

from datetime import timedelta

from pydantic import Field

from app.settings.kinds import Group, Seconds


class RunSettings(Group):
    lease_ttl: Seconds = Field(
        timedelta(seconds=40),
        description="A run whose worker has not been heard of for this long goes to another worker.",
    )
    heartbeat_interval: Seconds = Field(
        timedelta(seconds=10), description="Four beats to a lease, so that one lost beat never loses a run."
    )
    settle_delay: Seconds = Field(
        timedelta(seconds=30), description="How long past its end an interval is left alone, for rows still arriving."
    )
    late_commit_wait: Seconds = Field(
        timedelta(seconds=60),
        description="How long an attempt waits for transactions at the event store that may still commit rows of its "
        "interval. After that it fails, and is made again later.",
    )
    retry_backoff_initial: Seconds = Field(
        timedelta(seconds=1), description="Upper bound of the first random wait before a failed run is tried again."
    )
    retry_backoff_max: Seconds = Field(timedelta(minutes=10), description="Upper bound of every later wait.")
    retry_max_attempts: int | None = Field(
        None,
        ge=1,
        description="Attempts in a row that may fail alike. By default errors that may pass are met with new attempts "
        "until the time limit of the interval has passed since the first one.",
    )
    run_time_limit: Seconds | None = Field(
        None,
        description="How long an attempt may take, and failed ones are repeated, instead of what the interval allows: "
        "20 minutes for exports every 5 or 15 minutes, 6 hours for hourly, 1 day for daily, 3 days for weekly ones.",
    )
    batch_bytes: int = Field(
        4 * 1024 * 1024, ge=64 * 1024, description="Size of one Arrow batch on its way from source to destination."
    )
    schedule_jitter: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of the random delay that keeps exports of one interval from starting all at once: at most "
        "15 minutes for hourly exports, 20 for daily, 30 for weekly ones. It moves no bounds; 0 switches it off.",
    )


class LogSettings(Group):
    """Lines that runs write for the people whose exports they are, not the process's own log."""

    log_retention: Seconds = Field(timedelta(days=30), description="Older log lines of exports are deleted.")
    log_flush_interval: Seconds = Field(
        timedelta(seconds=1), description="How long a line may wait for others before they are stored together."
    )
    log_queue_size: int = Field(
        10_000, ge=1, description="Lines that wait in one process at most; further ones are dropped and counted."
    )


class WorkerSettings(Group):
    worker_slots: int = Field(
        2,
        ge=0,
        description="Runs at the same time in one worker process. With 0 it makes none, and only schedules, moves "
        "backfills on and sends notifications.",
    )
    worker_poll_interval: Seconds = Field(
        timedelta(seconds=5), description="How often an idle worker looks into Postgres by itself, hints or none."
    )
    worker_shutdown_grace: Seconds = Field(
        timedelta(seconds=20), description="How long running runs may go on after SIGTERM before they are handed back."
    )
    tick_interval: Seconds = Field(
        timedelta(seconds=10), description="How often due intervals are turned into runs, by any one worker."
    )
    clock_skew_limit: Seconds = Field(
        timedelta(seconds=30),
        description="How far this host's clock may be from the database's. Further away, nothing is scheduled.",
    )
    catch_up_limit: int = Field(
        10_000,
        ge=1,
        description="The newest intervals of one export that are made up after the service was down: a year of hours, "
        "a month of five minutes. Older ones are skipped, and the export's log says so.",
    )
