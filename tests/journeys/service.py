"""The service as its users meet it: an API client, commands, and worker processes of their own."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from aiobotocore.session import get_session
from types_aiobotocore_s3 import S3Client

from app.embedded import Stack
from app.main import create_app
from app.settings import Settings
from tests import preloaded
from tests.preloaded import Process

DEADLINE = 120.0
"""Seconds after which a journey has failed rather than being slow."""


@dataclass(frozen=True)
class Service:
    client: httpx.AsyncClient
    env: dict[str, str]
    project_id: int
    s3: dict[str, Any]

    async def cli(self, *arguments: str, status: int = 0) -> Any:
        """Run a command with ``--json``; its document."""
        process = await preloaded.start("app.cli", *arguments, "--json", env=self.env)
        out, err = await process.communicate()
        assert process.returncode == status, err.decode()
        return json.loads(out) if out else None

    async def create_export(self, config: dict[str, Any], **fields: Any) -> str:
        body = {
            "name": "Journey",
            "interval": "day",
            "destination": {"type": "S3", "config": {**self.s3_config(), **config}},
            **fields,
        }
        answer = await self.client.post(f"/api/projects/{self.project_id}/batch_exports/", json=body)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def s3_config(self) -> dict[str, Any]:
        return {**self.s3, "prefix": "journey"}

    async def backfill(self, export_id: str, start: str, end: str) -> str:
        url = f"/api/projects/{self.project_id}/batch_exports/{export_id}/backfills/"
        answer = await self.client.post(url, json={"start_at": start, "end_at": end})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["backfill_id"])

    async def finished_backfill(self, export_id: str, backfill_id: str) -> dict[str, Any]:
        url = f"/api/projects/{self.project_id}/batch_exports/{export_id}/backfills/{backfill_id}/"
        return await self._until(url, lambda body: body["finished_at"] is not None)

    async def runs(self, export_id: str) -> list[dict[str, Any]]:
        """All runs of an export, oldest window first."""
        answer = await self.client.get(
            f"/api/projects/{self.project_id}/batch_exports/{export_id}/runs/", params={"after": "-30d"}
        )
        assert answer.status_code == 200, answer.text
        return sorted(answer.json()["results"], key=lambda run: run["data_interval_end"])

    async def ended_runs(self, export_id: str) -> list[dict[str, Any]]:
        """Its runs, once there are some and all have ended."""
        async with asyncio.timeout(DEADLINE):
            while not (runs := await self.runs(export_id)) or any(run["finished_at"] is None for run in runs):
                await asyncio.sleep(0.05)
        return runs

    async def _until(self, url: str, done: Any) -> dict[str, Any]:
        async with asyncio.timeout(DEADLINE):
            while True:
                answer = await self.client.get(url)
                assert answer.status_code == 200, answer.text
                body: dict[str, Any] = answer.json()
                if done(body):
                    return body
                await asyncio.sleep(0.05)

    @asynccontextmanager
    async def bucket(self) -> AsyncIterator[S3Client]:
        async with get_session().create_client(
            "s3",
            region_name=self.s3["region"],
            endpoint_url=self.s3["endpoint_url"],
            aws_access_key_id=self.s3["aws_access_key_id"],
            aws_secret_access_key=self.s3["aws_secret_access_key"],
        ) as client:
            yield client

    async def objects(self, prefix: str) -> dict[str, bytes]:
        """Every object under a prefix, by key."""
        async with self.bucket() as s3:
            found: dict[str, bytes] = {}
            async for page in s3.get_paginator("list_objects_v2").paginate(
                Bucket=self.s3["bucket_name"], Prefix=prefix
            ):
                for item in page.get("Contents", []):
                    body = await s3.get_object(Bucket=self.s3["bucket_name"], Key=item["Key"])
                    found[item["Key"]] = await body["Body"].read()
            return found


@asynccontextmanager
async def open_service(stack: Stack, settings: Settings) -> AsyncIterator[Service]:
    """The API in this process on the settings' database, with an organization, a project and a key."""
    env = {
        **os.environ,
        **stack.env,
        "BATCH_EXPORTS_DATABASE_URL": settings.database_url.get_secret_value(),
        "BATCH_EXPORTS_REDIS_URL": settings.redis_url.get_secret_value(),
        "BATCH_EXPORTS_ENCRYPTION_KEYS": ",".join(key.get_secret_value() for key in settings.encryption_keys),
        # The windows of tests have long settled; what tests wait for is the work itself.
        "BATCH_EXPORTS_WORKER_POLL_INTERVAL": "0.2",
        "BATCH_EXPORTS_TICK_INTERVAL": "1",
    }
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://service.test") as client,
    ):
        service = Service(client, env, 0, dict(stack.s3))
        organization = await service.cli("organizations", "create", "--name", "Journeys")
        project = await service.cli(
            "projects", "create", "--organization", organization["organization_id"], "--name", "Journey"
        )
        key = await service.cli(
            "keys", "create", "--organization", organization["organization_id"], "--scopes", "batch_export:write"
        )
        client.headers["Authorization"] = f"Bearer {key['personal_api_key']}"
        yield Service(client, env, project["project_id"], dict(stack.s3))


@asynccontextmanager
async def worker_process(service: Service, **settings: str) -> AsyncIterator[Process]:
    """A worker of its own; ended with SIGTERM, and expected to stop cleanly."""
    process = await preloaded.start(
        "worker",
        env={**service.env, **{f"BATCH_EXPORTS_{name.upper()}": value for name, value in settings.items()}},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), DEADLINE)
    assert process.returncode == 0
