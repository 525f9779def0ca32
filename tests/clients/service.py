"""The API as other programs meet it: on a port, in a process of its own."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx

from app.embedded.state import free_port
from app.runtime import Runtime
from app.settings import Settings
from tests.cli.commands import DEADLINE, environment, start
from tests.http.callers import Tenant, add_tenant


@dataclass(frozen=True)
class Served:
    url: str
    tenant: Tenant


@asynccontextmanager
async def serve(settings: Settings, runtime: Runtime, **more: str) -> AsyncIterator[Served]:
    port = free_port()
    process = await start(environment(settings, **more), "api", "--port", str(port))
    assert process.stdout is not None
    assert process.stderr is not None
    # Drained from the start: a full pipe would stop the process.
    output = asyncio.gather(process.stdout.read(), process.stderr.read())
    url = f"http://127.0.0.1:{port}"
    try:
        async with asyncio.timeout(DEADLINE), httpx.AsyncClient(base_url=url) as client:
            while not await _answers(client):
                assert process.returncode is None, (await output)[1].decode()
                await asyncio.sleep(0.05)
        yield Served(url, await add_tenant(runtime))
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), DEADLINE)
        await output


async def _answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/health/live")).is_success
    except httpx.TransportError:
        return False
