"""What the demo does, step by step: as a user would, over HTTP and through the bucket."""

import asyncio
import gzip
import json
import shlex
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
from aiobotocore.session import get_session
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from app.cli.local import Local, open_local
from app.clocks import utc_now
from app.embedded.state import free_port
from app.errors import SetupError
from app.events.files import open_lines
from app.events.load import Loaded, Rejections, load_lines, rejections_path
from app.events.sample import sample_lines
from app.events.store import open_writer

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client  # stubs: no part of an installation

PREFIX = "demo/{year}/{month}/{day}"
HOURS = 24
SHOWN_OBJECTS, SHOWN_ROWS = 6, 3
LIMIT = 600.0
"""Seconds the backfill may take."""


@dataclass(frozen=True, slots=True)
class LandedObject:
    key: str
    rows: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Landed:
    """What is in the bucket at the end."""

    export_id: str
    backfill_id: str
    objects: list[LandedObject]
    first_rows: list[dict[str, Any]]
    seconds: float

    @property
    def rows(self) -> int:
        return sum(one.rows for one in self.objects)

    @property
    def document(self) -> dict[str, Any]:
        return {
            "export_id": self.export_id,
            "backfill_id": self.backfill_id,
            "rows": self.rows,
            "bytes": sum(one.bytes for one in self.objects),
            "objects": [{"key": one.key, "rows": one.rows, "bytes": one.bytes} for one in self.objects],
            "first_rows": self.first_rows,
            "seconds": round(self.seconds, 1),
        }


class Journey:
    def __init__(self, directory: Path, events: int, console: Console) -> None:
        self._directory = directory
        self._events = events
        self._console = console
        self._end = utc_now().replace(hour=0, minute=0, second=0, microsecond=0)
        self._start = self._end - timedelta(hours=HOURS)

    async def run(self) -> Landed:
        """:raises SetupError: when a step does not go as it should."""
        started = time.monotonic()
        self._say("1. Start Postgres, Valkey, an S3 server, the API and a worker, all on this machine")
        async with open_local(self._directory, free_port(), logs=self._directory, durable=False) as local:
            self._say(f"   the API answers at {local.api_url}")
            self._say(f"\n2. Load {self._events:,} sample events of {self._start:%Y-%m-%d}")
            await self._load(local)
            headers = {"Authorization": f"Bearer {local.tenant.personal_api_key}"}
            async with httpx.AsyncClient(base_url=local.api_url, headers=headers, timeout=30) as client:
                self._say("\n3. Create an export over HTTP")
                export_id = await self._create(local, client)
                self._say(f"\n4. Export that day, hour by hour, by a backfill: {HOURS} runs, one after another")
                backfill_id = await self._backfill(client, export_id)
                await self._see_runs(client, export_id)
            async with open_bucket(local.stack.s3) as s3:
                objects, first_rows = await read_bucket(s3, local.stack.s3["bucket_name"])
        landed = Landed(export_id, backfill_id, objects, first_rows, time.monotonic() - started)
        self._show(landed)
        return landed

    async def _load(self, local: Local) -> None:
        path = self._directory / "events.jsonl"
        lines = sample_lines(self._events, self._start, self._end)
        await asyncio.to_thread(_write, path, lines)
        with open_lines(str(path)) as source, self._bar() as bar:
            task = bar.add_task("   events stored", total=self._events)

            def show(loaded: Loaded) -> None:
                bar.update(task, completed=loaded.stored)

            async with open_writer(local.settings.event_store_dsn, connect_timeout=10) as writer:
                rejections = Rejections(rejections_path(str(path)))
                await load_lines(source, writer, local.tenant.project_id, utc_now(), rejections, show)

    async def _create(self, local: Local, client: httpx.AsyncClient) -> str:
        config = {**local.stack.s3, "prefix": PREFIX, "file_format": "JSONLines", "compression": "gzip"}
        body = {"name": "Demo", "interval": "hour", "destination": {"type": "S3", "config": config}}
        shown = json.dumps(body, indent=2).replace(config["aws_secret_access_key"], "…")
        self._say(
            f"   curl -X POST {local.api_url}/api/projects/{local.tenant.project_id}/batch_exports/ \\\n"
            f'     -H "Authorization: Bearer $KEY" -H "Content-Type: application/json" \\\n'
            f"     -d {shlex.quote(shown)}"
        )
        return str((await _post(client, "", body))["id"])

    async def _backfill(self, client: httpx.AsyncClient, export_id: str) -> str:
        bounds = {"start_at": self._start.isoformat(), "end_at": self._end.isoformat()}
        backfill_id = str((await _post(client, f"{export_id}/backfills/", bounds))["backfill_id"])
        with self._bar() as bar:
            task = bar.add_task("   hours exported", total=HOURS)
            async with asyncio.timeout(LIMIT):
                while True:
                    backfill = await _get(client, f"{export_id}/backfills/{backfill_id}/")
                    progress = backfill["progress"] or {"finished_runs": 0, "total_runs": HOURS}
                    bar.update(task, completed=progress["finished_runs"], total=progress["total_runs"])
                    if backfill["finished_at"] is not None:
                        break
                    await asyncio.sleep(0.1)
        if backfill["status"] != "Completed":
            raise SetupError(f"The backfill ended {backfill['status']}.")
        return backfill_id

    async def _see_runs(self, client: httpx.AsyncClient, export_id: str) -> None:
        runs = (await _get(client, f"{export_id}/runs/"))["results"]
        failed = [run["latest_error"] for run in runs if run["status"] != "Completed"]
        if failed:
            raise SetupError(f"A run failed: {failed[0]}")

    def _show(self, landed: Landed) -> None:
        table = Table(box=None, pad_edge=False)
        table.add_column("object", overflow="fold")
        table.add_column("rows", justify="right")
        table.add_column("bytes", justify="right")
        for one in landed.objects[:SHOWN_OBJECTS]:
            table.add_row(one.key, f"{one.rows:,}", f"{one.bytes:,}")
        if len(landed.objects) > SHOWN_OBJECTS:
            table.add_row(f"… and {len(landed.objects) - SHOWN_OBJECTS} more", "", "")
        table.add_section()
        size = sum(one.bytes for one in landed.objects)
        table.add_row(f"{len(landed.objects)} objects", f"{landed.rows:,}", f"{size:,}", style="bold")
        self._say(f"\n5. What landed in the bucket, {landed.seconds:.0f} seconds after the start\n")
        self._console.print(table)
        self._say("")

    def _say(self, text: str) -> None:
        self._console.print(text, markup=False, soft_wrap=True)

    def _bar(self) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
        )


def _write(path: Path, lines: Any) -> None:
    with path.open("wb") as file:
        file.writelines(lines)


async def _post(client: httpx.AsyncClient, path: str, body: dict[str, Any]) -> dict[str, Any]:
    return _body(await client.post(f"/api/projects/@current/batch_exports/{path}", json=body))


async def _get(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    return _body(await client.get(f"/api/projects/@current/batch_exports/{path}"))


def _body(answer: httpx.Response) -> dict[str, Any]:
    if not answer.is_success:
        raise SetupError(f"{answer.request.method} {answer.request.url} answered {answer.status_code}: {answer.text}")
    body: dict[str, Any] = answer.json()
    return body


@asynccontextmanager
async def open_bucket(s3: dict[str, Any]) -> AsyncIterator["S3Client"]:
    async with get_session().create_client(
        "s3",
        region_name=s3["region"],
        endpoint_url=s3["endpoint_url"],
        aws_access_key_id=s3["aws_access_key_id"],
        aws_secret_access_key=s3["aws_secret_access_key"],
    ) as client:
        yield client


async def read_bucket(s3: "S3Client", bucket: str) -> tuple[list[LandedObject], list[dict[str, Any]]]:
    """The objects there are, their rows counted by reading them, and the first rows of the first one."""
    objects: list[LandedObject] = []
    first_rows: list[dict[str, Any]] = []
    pages = s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=PREFIX.split("{", 1)[0])
    async for page in pages:
        for item in page.get("Contents", []):
            answer = await s3.get_object(Bucket=bucket, Key=item["Key"])
            lines = gzip.decompress(await answer["Body"].read()).splitlines()
            objects.append(LandedObject(item["Key"], len(lines), item["Size"]))
            first_rows = first_rows or [json.loads(line) for line in lines[:SHOWN_ROWS]]
    return objects, first_rows
