"""What a process connects to, and how it keeps what it must not show."""

from datetime import timedelta
from typing import Self

from pydantic import Field, SecretStr, model_validator

from app.settings.kinds import Group, Hosts, Seconds, Secrets, Texts


class DatabaseSettings(Group):
    database_url: SecretStr = Field(
        SecretStr("postgresql+asyncpg://postgres@127.0.0.1:5432/batch_exports"),
        description="The service's own state. An SQLAlchemy URL with the asyncpg driver.",
    )
    event_store_url: SecretStr | None = Field(
        None, description="The event store, when it is another database than DATABASE_URL."
    )
    event_retention: Seconds | None = Field(
        None,
        ge=timedelta(days=11),
        description="How long after they came in events are kept in the event store; what is yet to be exported is "
        "kept longer. For ever if left out. A new weekly export of sessions reads what came in up to ten days ago.",
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


class RedisSettings(Group):
    redis_url: SecretStr = Field(
        SecretStr("redis://127.0.0.1:6379"),
        description="Redis or Valkey. It carries hints only; it may lose everything.",
    )
    redis_connect_timeout: Seconds = Field(
        timedelta(seconds=2), description="Short, because a hint that cannot be sent is not waited for."
    )


class SecuritySettings(Group):
    encryption_keys: Secrets = Field(
        default_factory=list,
        description="Fernet keys for destination credentials at rest, newest first, comma-separated. "
        "Make one with: openssl rand -base64 32 | tr '+/' '-_'",
    )


class AwsSettings(Group):
    """Who this service is to AWS. It assumes the roles that integrations name as this, and uses it for nothing else."""

    aws_access_key_id: SecretStr | None = Field(
        None,
        min_length=1,
        description="The service's own AWS access key, which assumes the roles that integrations name. Without one, "
        "and without AWS_IDENTITY_OF_HOST, it assumes none.",
    )
    aws_secret_access_key: SecretStr | None = Field(None, min_length=1, description="The secret of AWS_ACCESS_KEY_ID.")
    aws_session_token: SecretStr | None = Field(
        None, min_length=1, description="Of AWS_ACCESS_KEY_ID, where that is a temporary one."
    )
    aws_identity_of_host: bool = Field(
        False,
        description="Assume roles as whoever the host is to AWS (environment, profile, container, instance), instead "
        "of with a key.",
    )
    aws_sts_region: str = Field(
        "us-east-1", pattern=r"^[a-z0-9-]+$", description="Where roles are assumed. Exports to any region can use them."
    )
    aws_sts_endpoint: str | None = Field(
        None, pattern=r"^https?://[^\s/@]+/?$", description="Where roles are assumed, if that is not Amazon's own STS."
    )

    @model_validator(mode="after")
    def _there_is_one_identity(self) -> Self:
        if (self.aws_access_key_id is None) != (self.aws_secret_access_key is None):
            raise ValueError("AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go together")
        if self.aws_session_token is not None and self.aws_access_key_id is None:
            raise ValueError("AWS_SESSION_TOKEN goes with AWS_ACCESS_KEY_ID")
        if self.aws_identity_of_host and self.aws_access_key_id is not None:
            raise ValueError("AWS_IDENTITY_OF_HOST and AWS_ACCESS_KEY_ID cannot both be set")
        return self


class NetworkSettings(Group):
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
