"""The whole service on the embedded stack: services, migrations, API, worker, one organization, project and key."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from uuid import UUID

import httpx
from pydantic import SecretStr

from app.db.migrate import upgrade
from app.embedded import Stack, open_stack
from app.embedded.state import LOOPBACK, State, is_free
from app.embedded.tether import tethered
from app.errors import SetupError
from app.runtime import open_runtime
from app.settings import Settings
from app.tenants.service import create_api_key, create_organization, create_project

USUAL_PORT = 8000
START_LIMIT = 30.0
"""Seconds the API may take until it answers."""
STOP_LIMIT = 30.0
"""Seconds a process may take to stop by itself: a worker gives its runs some time."""
RESTART_WAIT = 1.0


@dataclass(frozen=True, slots=True)
class Tenant:
    organization_id: UUID
    project_id: int
    project_token: str
    personal_api_key: str


@dataclass(frozen=True, slots=True)
class Local:
    """A running service, and all that a client needs to use it."""

    stack: Stack
    settings: Settings
    api_url: str
    tenant: Tenant

    @property
    def document(self) -> dict[str, Any]:
        return {
            "api_url": self.api_url,
            "organization_id": self.tenant.organization_id,
            "project_id": self.tenant.project_id,
            "personal_api_key": self.tenant.personal_api_key,
            "project_token": self.tenant.project_token,
            "s3": self.stack.s3,
            "env": self.stack.env,
        }


@asynccontextmanager
async def open_local(
    data_dir: Path, port: int | None = None, *, logs: Path | None = None, durable: bool = True
) -> AsyncIterator[Local]:
    """Start everything on ``data_dir``; what is in it is found again. Processes that end are started again.

    API and worker log into files in ``logs``, or to standard error.

    :raises SetupError: when the directory or the port is in use, or something does not start.
    """
    async with open_stack(data_dir, durable=durable) as stack:
        await upgrade(stack.database_url)
        settings = Settings(
            _env_file=None,
            database_url=SecretStr(stack.database_url),
            redis_url=SecretStr(stack.redis_url),
            encryption_keys=[SecretStr(stack.env["BATCH_EXPORTS_ENCRYPTION_KEYS"])],
            event_store_url=None,
            allowed_private_hosts=[LOOPBACK],
        )
        tenant = await _tenant(settings, stack.state)
        port = _port(stack.state, port)
        url = f"http://{LOOPBACK}:{port}"
        # Settings of the caller apply, but the event store is the embedded one.
        env = {**os.environ, **stack.env, "BATCH_EXPORTS_EVENT_STORE_URL": stack.database_url}
        programs = [
            Program("api", ["-m", "app.cli", "api", "--host", LOOPBACK, "--port", str(port)], env),
            Program("worker", ["-m", "worker"], env),
        ]
        running = [asyncio.create_task(program.keep(logs)) for program in programs]
        try:
            await _until_ready(url, running)
            yield Local(stack, settings, url, tenant)
        finally:
            for task in running:
                task.cancel()
            await asyncio.shield(asyncio.gather(*running, return_exceptions=True))


class Program:
    """One of our own processes, started again when it ends by itself."""

    def __init__(self, name: str, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        self._name = name
        self._command = [sys.executable, *arguments]
        self._env = env

    async def keep(self, logs: Path | None) -> None:
        """Run it until cancelled; then stop it, and wait until it has."""
        while True:
            status = await self._run(logs)
            sys.stderr.write(f"{self._name} ended with status {status}; starting it again\n")
            await asyncio.sleep(RESTART_WAIT)

    async def _run(self, logs: Path | None) -> int:
        log: IO[bytes] | None = (logs / f"{self._name}.log").open("ab") if logs is not None else None
        process = await asyncio.create_subprocess_exec(
            *tethered(self._command),
            env=self._env,
            stdin=asyncio.subprocess.DEVNULL,
            # Standard output is for the one document of the verb.
            stdout=log or sys.stderr.fileno(),
            stderr=log,
            # Ctrl-C in the terminal reaches us alone; we stop the processes in order.
            start_new_session=True,
        )
        if log is not None:
            log.close()
        try:
            return await process.wait()
        except asyncio.CancelledError:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), STOP_LIMIT)
            except TimeoutError:
                process.kill()
                await process.wait()
            raise


async def _tenant(settings: Settings, state: State) -> Tenant:
    """The one this directory has; made at its first start."""
    if (known := state.get("tenant")) is not None:
        return Tenant(**{**known, "organization_id": UUID(known["organization_id"])})
    async with (
        open_runtime(settings, application_name="batch-exports dev") as runtime,
        runtime.sessions.begin() as session,
    ):
        organization = await create_organization(session, "Development")
        project = await create_project(session, organization.id, "Development")
        _, key = await create_api_key(session, organization.id, ["*"], "development")
        tenant = Tenant(organization.id, project.id, project.token, key)
    state.set(
        "tenant",
        {
            "organization_id": str(tenant.organization_id),
            "project_id": tenant.project_id,
            "project_token": tenant.project_token,
            "personal_api_key": tenant.personal_api_key,
        },
    )
    return tenant


def _port(state: State, wanted: int | None) -> int:
    if wanted is None:
        if state.get("api_port") is None and is_free(USUAL_PORT):
            state.set("api_port", USUAL_PORT)
        return state.port("api")
    if not is_free(wanted):
        raise SetupError(f"Port {wanted} is in use; choose another one with --port.")
    state.set("api_port", wanted)
    return wanted


async def _until_ready(url: str, running: Sequence["asyncio.Task[None]"]) -> None:
    async with httpx.AsyncClient(base_url=url) as client:
        try:
            async with asyncio.timeout(START_LIMIT):
                while not await _answers(client):  # noqa: ASYNC110  another process's doing
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise SetupError(f"The API did not answer in {START_LIMIT:.0f} s; its log says why.") from None


async def _answers(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/health/ready")).is_success
    except httpx.TransportError:
        return False
