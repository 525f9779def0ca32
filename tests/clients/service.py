"""The API as other programs meet it: a real server on a port, which may connect to this machine only."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI

from app.runtime import Runtime
from tests.http.callers import Tenant, add_tenant

LOCAL = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Served:
    url: str
    tenant: Tenant


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the test runner's."""
        yield


@asynccontextmanager
async def serve(app: FastAPI, runtime: Runtime) -> AsyncIterator[Served]:
    # Bound first, so that nobody else gets the port and nobody has to wait for it.
    listening = socket.create_server(("127.0.0.1", 0))
    # Inherited by every connection. asyncio sees to that itself for the sockets it makes, not for those it is given.
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    config = uvicorn.Config(app, log_level="warning", lifespan="off", access_log=False)
    server = _Server(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]))
    try:
        yield Served(f"http://127.0.0.1:{listening.getsockname()[1]}", await add_tenant(runtime))
    finally:
        server.should_exit = True
        await serving


@pytest.fixture
def only_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Generated input names any host; none but this one is ever looked up, let alone connected to."""
    look_up = socket.getaddrinfo

    def guarded(host: Any, *arguments: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and name not in LOCAL:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return look_up(host, *arguments, **more)

    monkeypatch.setattr(socket, "getaddrinfo", guarded)
