"""A project's channels and deliveries, as the API takes and shows them."""

import re
from datetime import datetime
from typing import Annotated, Any, Final
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from app.http.text import RequestModel, storable
from app.models import DeliveryStatus
from app.notifications.channels import Channel
from app.notifications.notices import Kind
from app.notifications.signing import secret_bytes

MOST_EMAILS: Final = 20
LONGEST_URL: Final = 2000
EMAIL: Final = re.compile(
    r"(?=.{3,254}\Z)[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*", re.ASCII
)
"""As browsers check it: nothing that would need quotes, or end a header."""

EXAMPLE: Final[dict[str, Any]] = {
    "webhook_url": "https://hooks.example.com/batch-exports",
    "emails": ["data-team@example.com"],
}


def _web_address(value: str) -> str:
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        usable = False
        parts = urlsplit("")
    if not usable or not value.isprintable() or " " in value or len(value) > LONGEST_URL:
        raise PydanticCustomError("invalid", "Enter a valid URL.")
    if parts.username is not None or parts.password is not None:
        raise PydanticCustomError("invalid", "Credentials do not belong into a URL; check the webhook's signature.")
    return value


def _secret(value: str) -> str:
    try:
        secret_bytes(value)
    except ValueError:
        text = "A secret is `whsec_` and the base64 of 24 to 64 random bytes. Leave it out, and one is made."
        raise PydanticCustomError("invalid", text) from None
    return value


def _email(value: str) -> str:
    if EMAIL.fullmatch(value) is None:
        raise PydanticCustomError("invalid", "Enter a valid email address.")
    return value


def _few(value: list[str]) -> list[str]:
    if len(value) > MOST_EMAILS:
        raise PydanticCustomError("invalid", "There can be 20 addresses at most.")
    return list(dict.fromkeys(value))


WebAddress = Annotated[str, AfterValidator(storable), AfterValidator(_web_address)]


class ChannelsWrite(RequestModel):
    """What is left out is switched off; only the secret stays as it is."""

    model_config = ConfigDict(json_schema_extra={"examples": [EXAMPLE]})

    webhook_url: WebAddress | None = Field(None, description="Messages are posted there, signed.")
    webhook_secret: Annotated[str, AfterValidator(_secret)] | None = Field(
        None, description="What they are signed with. If there is none yet, one is made, and shown this once."
    )
    emails: Annotated[list[Annotated[str, AfterValidator(_email)]], AfterValidator(_few)] = Field(
        default_factory=list, description="Who gets e-mails, each person one of their own."
    )


class ChannelsRead(BaseModel):
    webhook_url: str | None
    webhook_secret_hint: str | None = Field(description="The end of the secret.")
    webhook_secret: str | None = Field(None, description="Only in the answer to the request by which it was made.")
    emails: list[str]
    email_available: bool = Field(description="Whether this service can send e-mails at all.")


class SecretRead(BaseModel):
    webhook_secret: str = Field(description="It is not shown again.")


class AttemptRead(BaseModel):
    channel: Channel
    recipient: str | None = Field(description="The address of an e-mail.")
    delivered: bool
    message: str | None = Field(description="What went wrong; null when it was delivered.")


class AttemptsRead(BaseModel):
    results: list[AttemptRead]


class DeliveryRead(BaseModel):
    id: UUID
    notification_id: UUID = Field(description="In the webhook's `webhook-id`, behind `msg_` and without dashes.")
    kind: Kind
    export_id: UUID
    channel: Channel
    recipient: str | None = Field(description="The address of an e-mail.")
    status: DeliveryStatus
    attempts: int
    latest_error: str | None
    next_attempt_at: datetime | None = Field(description="Not before; null when there is none to come.")
    created_at: datetime
    finished_at: datetime | None
