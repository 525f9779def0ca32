"""What settings are made of: a group, and the types of values that are read from a text."""

from datetime import timedelta
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, SecretStr
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

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


class Group(BaseSettings):
    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, env_file=".env", extra="ignore", frozen=True)
