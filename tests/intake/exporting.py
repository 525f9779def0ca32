"""What has come in, as a run of an export hands it out again."""

import json
from datetime import datetime, timedelta
from typing import Any

from app.embedded import Stack
from app.models import Project, SelectBy
from app.runs.claims import ClaimRepository
from app.runtime import Runtime
from app.scheduling.intervals import Window
from tests.destinations.harness import S3Harness
from tests.factories import make_export
from tests.intake.sending import Connection
from tests.verification.exported import execute_one


async def exported(
    runtime: Runtime, stack: Stack, store: Connection, project_id: int, start: datetime
) -> list[dict[str, Any]]:
    """Every event that came into the project since ``start``, by the store's clock, out of the objects of a run."""
    s3 = S3Harness("S3", stack)
    window = Window(start, await store.fetchval("SELECT clock_timestamp()"))
    async with runtime.sessions.begin() as session:
        project = await session.get_one(Project, project_id)
        config = {**stack.s3, "prefix": s3.prefix, "file_format": "JSONLines"}
        export = await make_export(session, runtime.cipher, project, destination_type="S3", config=config)
        await ClaimRepository(session).add(export, [window], timedelta(0), select_by=SelectBy.INGESTED_AT)
    await execute_one(runtime)
    lines: list[bytes] = []
    async with s3.client() as client:
        listed = await client.list_objects_v2(Bucket=s3.bucket, Prefix=s3.prefix)
        for one in listed.get("Contents", []):
            if one["Key"].endswith(".jsonl"):
                found = await client.get_object(Bucket=s3.bucket, Key=one["Key"])
                lines += (await found["Body"].read()).splitlines()
    return [json.loads(line) for line in lines]
