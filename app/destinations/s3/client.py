"""The S3 client of one write."""

import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session
from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult

from app.destinations.s3.store import CHANGING
from app.network import AddressRefused, Network

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client  # stubs: no part of an installation

MAX_RETRIES: Final = 5
"""Of one request, by the client itself, with its backoff (the contract's section 10.1)."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How a bucket is reached. Types of the family whose config lacks a key do without it."""

    region: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    endpoint_url: str | None = field(default=None, repr=False)
    virtual_style: bool = False

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> Self:
        return cls(
            region=settings["region"],
            access_key=settings.get("aws_access_key_id") or "",
            secret_key=settings.get("aws_secret_access_key") or "",
            endpoint_url=settings.get("endpoint_url") or None,
            virtual_style=bool(settings.get("use_virtual_style_addressing")),
        )


@asynccontextmanager
async def open_client(
    connection: Connection, network: Network, *, retries: int | None = None, timeout: float = 60
) -> AsyncIterator["S3Client"]:
    """``retries`` of one request, and seconds that an answer may take.

    :raises AddressRefused: for an endpoint that may not be connected to.
    :raises ValueError, botocore.exceptions.BotoCoreError: for settings with which no request can be made.
    """
    # Without keys of its own, the SDK would look for the service's. An empty one is never looked up.
    if not connection.access_key or not connection.secret_key:
        raise ValueError("no credentials")
    # An address in figures never reaches the resolver.
    host = urlsplit(connection.endpoint_url).hostname if connection.endpoint_url else None
    if host and network.judge(host) is False:
        raise AddressRefused
    client = _session().create_client(
        "s3",
        region_name=connection.region,
        endpoint_url=connection.endpoint_url,
        aws_access_key_id=connection.access_key,
        aws_secret_access_key=connection.secret_key,
        config=_client_config(connection, network, MAX_RETRIES if retries is None else retries, timeout),
    )
    async with client as opened:
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
    if settings.get("kms_key_id") is not None:
        arguments["SSEKMSKeyId"] = settings["kms_key_id"]
    return arguments


class Guard(AbstractResolver):
    """Resolves names for each connection anew, and lets only those addresses be connected to that are allowed.

    The HTTP client follows redirections, and asks no resolver about an address in figures: so each socket is looked at
    once more when it is made.
    """

    def __init__(self, network: Network) -> None:
        self._network = network
        self._vetted: set[str] = set()
        """Addresses of names that are allowed wherever they lead."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        addresses = await self._network.vet(host)
        self._vetted.update(addresses)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in addresses
        ]

    def open_socket(self, info: AddrInfoType) -> socket.socket:
        """:raises AddressRefused: before anything is connected to."""
        family, kind, protocol, _, address = info
        host = str(address[0])
        if host not in self._vetted and not self._network.allows([host]):
            raise AddressRefused
        return socket.socket(family, kind, protocol)

    async def close(self) -> None:
        """Nothing is held."""


@cache
def _session() -> AioSession:
    """Shared by all writes, for it keeps the description of the service: parsing that anew for each would hold up the
    event loop for a tenth of a second."""
    return get_session()


def _client_config(connection: Connection, network: Network, retries: int, timeout: float) -> AioConfig:
    # A store of one's own seldom has a DNS name per bucket; Amazon has, and the SDK knows when to use it.
    usual = "path" if connection.endpoint_url else "auto"
    return AioConfig(
        connect_timeout=5,
        read_timeout=timeout,
        retries={"mode": "standard", "max_attempts": retries},
        s3={"addressing_style": "virtual" if connection.virtual_style else usual},
        # The SDK's newer default sends trailing checksums, which many compatible stores refuse.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        # Amazon's own names may lead to private addresses, by way of an endpoint in the operator's own network.
        connector_args=_guarded(Guard(network)) if connection.endpoint_url else {},
    )


def _guarded(guard: Guard) -> Any:
    return {"resolver": guard, "socket_factory": guard.open_socket}
