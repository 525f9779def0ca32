"""The S3 client of one write."""

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from aiobotocore.config import AioConfig

from app.destinations.guard import Guard
from app.destinations.s3.roles import Role, assume, session_name, shared_session
from app.destinations.s3.signing import use_digests
from app.destinations.s3.store import CHANGING
from app.network import AddressRefused, Network

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client  # stubs: no part of an installation

MAX_RETRIES: Final = 5
"""Of one request, by the client itself, with its backoff (the contract's section 10.1)."""
AMAZON: Final = re.compile(r"(?:.+\.)?amazonaws\.com(?:\.cn)?", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Connection:
    """How a bucket is reached. Types of the family whose config lacks a key do without it."""

    region: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    endpoint_url: str | None = field(default=None, repr=False)
    virtual_style: bool = False
    checksums: bool = False
    """Whether the store keeps checksums with its objects."""
    role: Role | None = None
    """In which requests are made, instead of with keys."""

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        """:raises app.errors.RunError: for a role that this service cannot assume."""
        endpoint = settings.get("endpoint_url") or None
        return cls(
            region=settings["region"],
            access_key=settings.get("aws_access_key_id") or "",
            secret_key=settings.get("aws_secret_access_key") or "",
            endpoint_url=endpoint,
            virtual_style=bool(settings.get("use_virtual_style_addressing")),
            checksums=endpoint is None or _is_amazon(endpoint),
            role=Role.of(settings),
        )


@asynccontextmanager
async def open_client(
    connection: Connection, network: Network, *, attempt: str = "", retries: int | None = None, timeout: float = 60
) -> AsyncIterator["S3Client"]:
    """``retries`` of one request, and seconds that an answer may take.

    :raises AddressRefused: for an endpoint that may not be connected to.
    :raises NotAssumed: when the connection's role cannot be assumed.
    :raises ValueError, botocore.exceptions.BotoCoreError: for settings with which no request can be made.
    """
    # Without keys of its own, the SDK would look for the service's. An empty one is never looked up.
    if connection.role is None and not (connection.access_key and connection.secret_key):
        raise ValueError("no credentials")
    # An address in figures never reaches the resolver.
    host = urlsplit(connection.endpoint_url).hostname if connection.endpoint_url else None
    if host and network.judge(host) is False:
        raise AddressRefused
    retries = MAX_RETRIES if retries is None else retries
    session = shared_session()
    if connection.role is not None:
        session = await assume(connection.role, session_name(attempt), retries=retries, timeout=timeout)
    client = session.create_client(
        "s3",
        region_name=connection.region,
        endpoint_url=connection.endpoint_url,
        aws_access_key_id=connection.access_key or None,
        aws_secret_access_key=connection.secret_key or None,
        config=_client_config(connection, network, retries, timeout),
    )
    async with client as opened:
        use_digests(opened)
        yield opened


def guard(client: "S3Client", check: Callable[[], None]) -> None:
    """Have ``check`` called right before each request whose effect others see, the client's own repetitions included:
    between the first and the last of those, minutes may pass."""

    def before(operation_name: str, **_: Any) -> None:
        if operation_name in CHANGING:
            check()

    client.meta.events.register("request-created.s3", before)


def create_arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What every object is created with, besides its name and contents."""
    if settings.get("encryption") is None:
        return {}
    arguments = {"ServerSideEncryption": settings["encryption"]}
    if settings.get("kms_key_id"):
        arguments["SSEKMSKeyId"] = settings["kms_key_id"]
    return arguments


def _is_amazon(endpoint: str) -> bool:
    try:
        return AMAZON.fullmatch(urlsplit(endpoint).hostname or "") is not None
    except ValueError:
        return False


def _client_config(connection: Connection, network: Network, retries: int, timeout: float) -> AioConfig:
    # A store of one's own seldom has a DNS name per bucket; Amazon has, and the SDK knows when to use it.
    usual = "path" if connection.endpoint_url else "auto"
    return AioConfig(
        connect_timeout=5,
        read_timeout=timeout,
        retries={"mode": "standard", "max_attempts": retries},
        # Every request is signed together with the SHA-256 of its body, which every store checks.
        s3={"addressing_style": "virtual" if connection.virtual_style else usual, "payload_signing_enabled": True},
        # The SDK's newer default sends checksums behind the body, in chunks of Amazon's own, which many compatible
        # stores refuse or even store. What Amazon takes beyond that, `store.py` sends.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        # Amazon's own names may lead to private addresses, by way of an endpoint in the operator's own network.
        connector_args=_guarded(Guard(network)) if connection.endpoint_url else {},
    )


def _guarded(guard: Guard) -> Any:
    return {"resolver": guard, "socket_factory": guard.open_socket}
