"""The client of one container, for one write."""

import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from aiohttp import (
    ClientHandlerType,
    ClientMiddlewareType,
    ClientRequest,
    ClientResponse,
    ClientSession,
    DummyCookieJar,
    TCPConnector,
)
from azure.core.credentials import AzureSasCredential
from azure.core.pipeline.transport import AioHttpTransport
from azure.storage.blob.aio import ContainerClient, ExponentialRetry

from app.destinations.azure_blob.connection import Connection
from app.destinations.guard import Guard
from app.network import AddressRefused, Network

API_VERSION: Final = "2023-11-03"
"""Of the service's protocol. All clouds have it, and emulators; nothing here needs a newer one."""
RETRIES: Final = 3
"""Of one request, by the client itself, after some 2, 4 and 8 seconds."""
CONNECT_TIMEOUT: Final = 5.0
READ_BYTES: Final = 4 * 1024 * 1024
"""Of an object, in one request."""
LARGEST_PUT: Final = 256 * 1024 * 1024
"""Bytes. Far beyond any small file, so that the client never cuts one into blocks of its own accord."""
PIECE: Final = 64 * 1024
"""Bytes from which on a body is sent piece by piece: as a whole, it would hold up the event loop."""


class Transport(AioHttpTransport):  # type: ignore[misc]  # the SDK exports it in a way that mypy cannot follow
    """Sends large bodies piece by piece."""

    async def send(self, request: Any, **options: Any) -> Any:
        body = request.data
        if not isinstance(body, bytes) or len(body) < PIECE:
            return await super().send(request, **options)
        request.data = io.BytesIO(body)
        try:
            return await super().send(request, **options)
        finally:
            # What is sent again starts at its beginning.
            request.data = body


def checking(check: Callable[[], None]) -> ClientMiddlewareType:
    """Calls ``check`` right before each request whose effect others see.

    That is nearest to the wire, for both the SDK and the HTTP client below it repeat requests, and between the first
    and the last of those, minutes may pass.
    """

    async def send(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
        if is_changing(request.method, str(request.url)):
            check()
        return await handler(request)

    return send


def is_changing(method: str, url: str) -> bool:
    """Whether others see what a request does. Blocks are seen by nobody until a list of them is committed."""
    return method == "DELETE" or (method == "PUT" and parse_qs(urlsplit(url).query).get("comp") != ["block"])


@asynccontextmanager
async def open_client(
    connection: Connection,
    container: str,
    network: Network,
    check: Callable[[], None] | None = None,
    *,
    retries: int = RETRIES,
    timeout: float = 60,
) -> AsyncIterator[ContainerClient]:
    """``retries`` of one request, and seconds that an answer may take.

    :raises AddressRefused: for an endpoint that may not be connected to.
    :raises ValueError: for settings with which no request can be made.
    """
    # An address in figures never reaches the resolver.
    if network.judge(connection.host) is False:
        raise AddressRefused
    guard = Guard(network)
    # Azure's own names may lead to private addresses, by way of a private endpoint in the operator's own network.
    connector = (
        TCPConnector() if connection.is_azure else TCPConnector(resolver=guard, socket_factory=guard.open_socket)
    )
    # The environment's proxies and cookies are no business of an export's.
    async with ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=DummyCookieJar(),
        trust_env=False,
        middlewares=[checking(check)] if check is not None else [],
    ) as session:
        transport = Transport(
            session=session, session_owner=False, connection_timeout=CONNECT_TIMEOUT, read_timeout=timeout
        )
        yield ContainerClient(
            connection.endpoint,
            container,
            credential=_credential(connection),
            api_version=API_VERSION,
            transport=transport,
            retry_policy=ExponentialRetry(
                initial_backoff=0, increment_base=2, random_jitter_range=1, retry_total=retries
            ),
            # The service redirects nobody. Whoever else does might lead a request, and what is signed in it, anywhere.
            permit_redirects=False,
            max_single_put_size=LARGEST_PUT,
            max_single_get_size=READ_BYTES,
            max_chunk_get_size=READ_BYTES,
        )


def _credential(connection: Connection) -> dict[str, str] | AzureSasCredential:
    """There always is one: without, requests would be made in nobody's name."""
    if connection.sas:
        return AzureSasCredential(connection.sas)
    if not connection.key:
        raise ValueError("no credentials")
    return {"account_name": connection.account, "account_key": connection.key}
