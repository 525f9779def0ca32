"""Every number and address of the service, typed, in small groups, each with its unit and reason.

Each field is an environment variable: its name in upper case behind ``BATCH_EXPORTS_`` (a ``.env`` file works too).
Durations are seconds (``90``, ``0.5``) or ISO 8601 (``PT90S``).
"""

from datetime import timedelta
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from app.errors import SetupError
from app.network import parse_allowed
from app.smtp import SmtpServer

ENV_PREFIX = "BATCH_EXPORTS_"


def _seconds(value: Any) -> Any:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            return value
    return value


def _comma_separated(value: Any) -> Any:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _checked_hosts(value: list[str]) -> list[str]:
    parse_allowed(value)
    return value


def _smtp_url(value: SecretStr) -> SecretStr:
    SmtpServer.parse(value.get_secret_value())
    return value


Seconds = Annotated[timedelta, BeforeValidator(_seconds)]
Secrets = Annotated[list[SecretStr], NoDecode, BeforeValidator(_comma_separated)]
Texts = Annotated[list[str], NoDecode, BeforeValidator(_comma_separated)]
Hosts = Annotated[Texts, AfterValidator(_checked_hosts)]
SmtpUrl = Annotated[SecretStr, AfterValidator(_smtp_url)]


class _Group(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_file=".env", extra="ignore", frozen=True)


class DatabaseSettings(_Group):
    database_url: SecretStr = Field(
        SecretStr("postgresql+asyncpg://postgres@127.0.0.1:5432/batch_exports"),
        description="The service's own state. An SQLAlchemy URL with the asyncpg driver.",
    )
    event_store_url: SecretStr | None = Field(
        None, description="The event store, when it is another database than DATABASE_URL."
    )
    database_pool_size: int = Field(
        10,
        ge=1,
        description="Connections kept per process. API requests and heartbeats share them; runs read elsewhere.",
    )
    database_connect_timeout: Seconds = Field(
        timedelta(seconds=5),
        description="How long a new connection may take before the database counts as unreachable.",
    )
    database_idle_transaction_limit: Seconds = Field(
        timedelta(seconds=30),
        ge=timedelta(seconds=1),
        description="How long the database keeps a transaction that says nothing, with all that it has locked.",
    )


class RedisSettings(_Group):
    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379"),
        description="Redis or Valkey. It carries hints only; it may lose everything.",
    )
    redis_connect_timeout: Seconds = Field(
        timedelta(seconds=2), description="Short, because a hint that cannot be sent is not waited for."
    )


class SecuritySettings(_Group):
    encryption_keys: Secrets = Field(
        default_factory=list,
        description="Fernet keys for destination credentials at rest, newest first, comma-separated. "
        "Make one with: openssl rand -base64 32 | tr '+/' '-_'",
    )


class ApiSettings(_Group):
    api_max_body_bytes: int = Field(1024 * 1024, ge=1024, description="A larger request body is answered with 413.")


class LimitSettings(_Group):
    rate_limit_per_minute: int = Field(
        0, ge=0, description="Requests of one API key per minute; more are answered with 429. 0 is no limit."
    )
    max_concurrent_backfills: int = Field(
        5, ge=1, description="Unfinished backfills of one project; one more is answered with 429."
    )
    verify_time_limit: Seconds = Field(
        timedelta(seconds=60),
        description="How long a request may verify a run; `batch-exports runs verify` takes as long as it takes.",
    )


class NetworkSettings(_Group):
    allowed_private_hosts: Hosts = Field(
        default_factory=list,
        description="Hosts, addresses and networks (10.0.0.0/8) that destinations may be at though they are not on the "
        "public internet, comma-separated. A name stands for everything below it too.",
    )
    http_destination_urls: Texts = Field(
        default_factory=lambda: ["https://us.i.posthog.com/batch/", "https://eu.i.posthog.com/batch/"],
        description="The URLs that an HTTP destination may have, comma-separated.",
    )
    resolve_timeout: Seconds = Field(
        timedelta(seconds=3), description="How long looking up a destination's host may take, for a request waits."
    )

    @property
    def resolve_timeout_seconds(self) -> float:
        return self.resolve_timeout.total_seconds()


class RunSettings(_Group):
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
        8 * 1024 * 1024, ge=64 * 1024, description="Size of one Arrow batch on its way from source to destination."
    )
    schedule_jitter: float = Field(
        1.0,
        ge=0,
        le=1,
        description="Share of the random delay that keeps exports of one interval from starting all at once: at most "
        "15 minutes for hourly exports, 20 for daily, 30 for weekly ones. It moves no bounds; 0 switches it off.",
    )


class LogSettings(_Group):
    """Lines that runs write for the people whose exports they are, not the process's own log."""

    log_retention: Seconds = Field(timedelta(days=30), description="Older log lines of exports are deleted.")
    log_flush_interval: Seconds = Field(
        timedelta(seconds=1), description="How long a line may wait for others before they are stored together."
    )
    log_queue_size: int = Field(
        10_000, ge=1, description="Lines that wait in one process at most; further ones are dropped and counted."
    )


class WorkerSettings(_Group):
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


class NotificationSettings(_Group):
    auto_pause_after: int = Field(
        10,
        ge=0,
        description="Failed runs among the latest ones of an export (24 hourly, 7 daily, 4 weekly, an hour of minutes) "
        "after which it is paused; never more than there are of these. 0 never pauses.",
    )
    overdue_after: Seconds | None = Field(
        None,
        description="How long past its settling and its random delay an interval's run may take to end before people "
        "are told. By default one interval, and 15 minutes at least.",
    )
    smtp_url: SmtpUrl | None = Field(
        None,
        description="The mail server: smtp://user:password@host:587 or smtps://user:password@host:465. Without one no "
        "e-mail is sent.",
    )
    smtp_from: str | None = Field(
        None,
        pattern=r"^[^\r\n\x00]*$",
        description="Sender of e-mails: `exports@example.com` or `Exports <exports@example.com>`.",
    )
    smtp_starttls: bool = Field(
        True,
        description="Whether smtp:// insists on encryption. Switch it off only for a server in your own network.",
    )
    notification_poll_interval: Seconds = Field(
        timedelta(seconds=2), description="How often a worker looks for notifications that are to be sent."
    )
    notification_give_up_after: Seconds = Field(
        timedelta(days=1), description="How long sending a notification is tried again."
    )

    @model_validator(mode="after")
    def _mail_has_a_sender(self) -> Self:
        if self.smtp_url is not None and self.smtp_from is None:
            raise ValueError("SMTP_FROM must be set where SMTP_URL is")
        return self


class Settings(
    DatabaseSettings,
    RedisSettings,
    SecuritySettings,
    ApiSettings,
    LimitSettings,
    NetworkSettings,
    RunSettings,
    LogSettings,
    WorkerSettings,
    NotificationSettings,
):
    """All settings of one process. Frozen; made once, at the composition root."""

    log_format: str = Field(
        "console", pattern="^(console|json)$", description="`console` for people, `json` for machines."
    )
    log_level: str = Field(
        "INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="The least level that is logged."
    )

    @model_validator(mode="after")
    def _beats_fit_the_lease(self) -> Self:
        if self.heartbeat_interval * 3 > self.lease_ttl:
            raise ValueError("HEARTBEAT_INTERVAL must be at most a third of LEASE_TTL")
        return self

    @property
    def event_store_dsn(self) -> str:
        """libpq URI of the event store, for drivers that are not SQLAlchemy's. Holds a password: never log it."""
        url = (self.event_store_url or self.database_url).get_secret_value()
        # asyncpg and libpq name the one parameter that people set differently.
        return url.replace("postgresql+asyncpg://", "postgresql://", 1).replace("?ssl=", "?sslmode=")


def load_settings() -> Settings:
    """The settings of the environment.

    :raises SetupError: naming the variable that is wrong, never its value, which may be a password.
    """
    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        name = ENV_PREFIX + "_".join(str(part) for part in first["loc"]).upper() if first["loc"] else "A setting"
        raise SetupError(f"{name} is not usable: {first['msg'].removeprefix('Value error, ')}.") from None
