"""A run that has been completed, and the hands to spoil what it has left."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

from app.embedded import Stack
from app.logs.lines import Log, NoLog
from app.models import Project, SelectBy
from app.pipeline.execute import Executor
from app.runs.claims import ClaimRepository
from app.runtime import Runtime
from app.scheduling.intervals import Window
from tests.destinations.harness import S3Harness
from tests.factories import add_event, make_backfill, make_export, utc

START = utc(2026, 3, 1)
WINDOW = Window(START, START + timedelta(hours=1))
EVENTS = 40
PROPERTIES = '{"padding": "' + "x" * 50_000 + '"}'


@dataclass(frozen=True)
class Exported:
    runtime: Runtime
    s3: S3Harness
    project_id: int
    export_id: UUID
    run_id: UUID
    uuids: list[str]

    @property
    def path(self) -> str:
        return f"/batch_exports/{self.export_id}/runs/{self.run_id}"

    async def put(self, key: str, data: bytes) -> None:
        async with self.s3.client() as client:
            await client.put_object(Bucket=self.s3.bucket, Key=key, Body=data)

    async def delete(self, key: str) -> None:
        async with self.s3.client() as client:
            await client.delete_object(Bucket=self.s3.bucket, Key=key)


MakeExported = Callable[..., Awaitable[Exported]]


async def make_exported(
    runtime: Runtime,
    stack: Stack,
    project_id: int,
    *,
    select_by: SelectBy = SelectBy.INGESTED_AT,
    log: Log | None = None,
    **config: Any,
) -> Exported:
    """An hour with some 2 MB of events in it, exported to a place of its own."""
    s3 = S3Harness("S3", stack)
    async with runtime.sessions.begin() as session:
        project = await session.get_one(Project, project_id)
        config = {**stack.s3, "prefix": s3.prefix, **config}
        export = await make_export(session, runtime.cipher, project, destination_type="S3", config=config)
        moments = [START + timedelta(minutes=number) for number in range(EVENTS)]
        uuids = [str(await add_event(session, project_id, moment, properties=PROPERTIES)) for moment in moments]
        backfill = await make_backfill(session, export) if select_by is SelectBy.TIMESTAMP else None
        await ClaimRepository(session).add(
            export,
            [WINDOW],
            timedelta(0),
            backfill_id=backfill.id if backfill is not None else None,
            select_by=select_by,
        )
    return Exported(runtime, s3, project_id, export.id, await execute_one(runtime, log), uuids)


async def execute_one(runtime: Runtime, log: Log | None = None) -> UUID:
    """Make the run that is ready."""
    executor = Executor(runtime, "worker", log or NoLog())
    claim = await executor.claim()
    assert claim is not None
    await executor.execute(claim)
    return claim.run_id
