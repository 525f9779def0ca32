"""What a process connects to, and how it keeps what it must not show."""

from datetime import timedelta

from pydantic import Field, SecretStr

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
