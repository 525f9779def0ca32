"""Every number and address of the service, typed, in small groups, each with its unit and reason.

Each field is an environment variable: its name in upper case behind ``BATCH_EXPORTS_`` (a ``.env`` file works too).
Durations are seconds (``90``, ``0.5``) or ISO 8601 (``PT90S``).
"""

from typing import Self

from pydantic import Field, ValidationError, model_validator

from app.errors import SetupError
from app.settings.api import ApiSettings, LimitSettings
from app.settings.downloads import DownloadSettings
from app.settings.intake import IntakeSettings
from app.settings.kinds import ENV_PREFIX
from app.settings.notifications import NotificationSettings
from app.settings.services import AwsSettings, DatabaseSettings, NetworkSettings, RedisSettings, SecuritySettings
from app.settings.work import LogSettings, RunSettings, WorkerSettings

__all__ = [
    "ENV_PREFIX",
    "ApiSettings",
    "AwsSettings",
    "DatabaseSettings",
    "DownloadSettings",
    "IntakeSettings",
    "LimitSettings",
    "LogSettings",
    "NetworkSettings",
    "NotificationSettings",
    "RedisSettings",
    "RunSettings",
    "SecuritySettings",
    "Settings",
    "WorkerSettings",
    "load_settings",
]


class Settings(
    DatabaseSettings,
    RedisSettings,
    SecuritySettings,
    AwsSettings,
    ApiSettings,
    LimitSettings,
    IntakeSettings,
    NetworkSettings,
    RunSettings,
    LogSettings,
    WorkerSettings,
    DownloadSettings,
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
