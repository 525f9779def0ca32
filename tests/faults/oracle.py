"""The one judge of every fault test: what was put into the event store against what lies at the destination.

It knows nothing of how the service works. It reads objects by listing the bucket and by the manifests, counts uuids,
and holds both against what the test itself has written down of the events it committed.
"""

import gzip
import io
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

import asyncpg
import pyarrow.parquet as pq
from sqlalchemy import select
from types_aiobotocore_s3 import S3Client

from app.embedded import Stack
from app.models import Export, Run, RunFile, RunStatus
from app.runtime import Runtime
from tests.destinations.harness import open_s3

ATTEMPT = "batch-exports-attempt"
INSERT = (
    "INSERT INTO event_store.events (uuid, team_id, event, distinct_id, properties, timestamp, inserted_at) "
    "VALUES ($1, $2, 'event', 'user', $4::json, $3, $3)"
)


@dataclass(frozen=True)
class Seen:
    """An event that was committed to the store."""

    uuid: str
    ingested_at: datetime


@dataclass
class Truth:
    """What a test has put into the store, by project; noted when the transaction was committed, never before."""

    events: dict[int, list[Seen]] = field(default_factory=dict)

    def note(self, team_id: int, events: Iterable[tuple[UUID, datetime]]) -> None:
        self.events.setdefault(team_id, []).extend(Seen(str(uuid), moment) for uuid, moment in events)

    async def insert(
        self,
        connection: "asyncpg.Connection[Any]",
        team_id: int,
        events: Sequence[tuple[UUID, datetime]],
        size: int = 0,
    ) -> None:
        """Commit events that were ingested, and happened, at the given moments; ``size`` bytes of properties each."""
        properties = json.dumps({"padding": "x" * size}) if size else "{}"
        await connection.executemany(INSERT, [(uuid, team_id, moment, properties) for uuid, moment in events])
        self.note(team_id, events)

    def within(self, team_id: int, start: datetime | None, end: datetime) -> Counter[str]:
        events = self.events.get(team_id, [])
        return Counter(
            one.uuid for one in events if (start is None or one.ingested_at >= start) and one.ingested_at < end
        )


@dataclass(frozen=True)
class Thing:
    """An object in the bucket."""

    key: str
    data: bytes
    attempt: str


@dataclass
class Oracle:
    """``judge`` raises AssertionError with the first promise that is broken."""

    runtime: Runtime
    client: S3Client
    bucket: str
    truth: Truth = field(default_factory=Truth)

    async def judge(self, export_id: UUID, prefix: str, *, windows: int | None = None, failed: int = 0) -> None:
        """All of an export's runs have ended, ``failed`` of its windows without success, and its objects are those
        under ``prefix`` and no others. ``windows``: how many there must be."""
        async with self.runtime.sessions() as session:
            export = await session.get_one(Export, export_id)
            runs = (await session.scalars(select(Run).where(Run.export_id == export_id))).all()
            files = (await session.scalars(select(RunFile).where(RunFile.run_id.in_([run.id for run in runs])))).all()
        things = {thing.key: thing for thing in await self.things(prefix)}
        assert await self.uploads(prefix) == [], "uploads that nobody will ever complete"
        _every_window_has_ended(runs, windows, failed)
        expected: set[str] = set()
        for run in current(runs):
            own = [file for file in files if file.run_id == run.id and file.committed_at is not None]
            expected |= {file.key for file in own}
            self._is_exact(export.project_id, run, own, things)
        assert set(things) == expected, f"beside what is on record: {set(things) ^ expected}"

    def _is_exact(self, team_id: int, run: Run, files: list[RunFile], things: dict[str, Thing]) -> None:
        window = f"{run.data_interval_start} to {run.data_interval_end}"
        data = [file for file in files if not file.is_manifest]
        found: Counter[str] = Counter()
        for file in data:
            thing = things.get(file.key)
            assert thing is not None, f"{window}: on record and not there: {file.key}"
            uuids = uuids_of(thing)
            assert (len(uuids), len(thing.data)) == (file.rows, file.bytes), f"{window}: {file.key} is not as recorded"
            assert thing.attempt == f"{run.id}/{run.epoch}", f"{window}: {file.key} was written by {thing.attempt}"
            found.update(uuids)
        wanted = self.truth.within(team_id, run.data_interval_start, run.data_interval_end)
        assert not wanted - found, f"{window}: lost {(wanted - found).total()} of {wanted.total()}"
        assert not found - wanted, f"{window}: doubled or foreign: {(found - wanted).total()}"
        assert run.records_completed == found.total(), f"{window}: the row says {run.records_completed}"
        assert run.bytes_exported == sum(file.bytes or 0 for file in data), f"{window}: bytes on the row"
        for manifest in (file for file in files if file.is_manifest):
            listed = json.loads(things[manifest.key].data)["files"]
            assert sorted(listed) == sorted(file.key for file in data), f"{window}: the manifest lists other files"

    async def things(self, prefix: str) -> list[Thing]:
        """What anybody can see under a prefix."""
        found = []
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        async for page in pages:
            for item in page.get("Contents", []):
                answer = await self.client.get_object(Bucket=self.bucket, Key=item["Key"])
                found.append(Thing(item["Key"], await answer["Body"].read(), answer["Metadata"].get(ATTEMPT, "")))
        return found

    async def on_record(self, export_id: UUID) -> dict[str, str | None]:
        """Key and SHA-256 of every object that the records say is there."""
        query = select(RunFile.key, RunFile.sha256).join(Run, Run.id == RunFile.run_id)
        there = (Run.export_id == export_id, RunFile.committed_at.is_not(None), RunFile.replaced_at.is_(None))
        async with self.runtime.sessions() as session:
            return {row.key: row.sha256 for row in await session.execute(query.where(*there))}

    async def uuids_of_manifest(self, prefix: str) -> Counter[str]:
        """What a reader gets who goes by the one manifest under a prefix."""
        things = {thing.key: thing for thing in await self.things(prefix)}
        [manifest] = [thing for thing in things.values() if thing.key.endswith("_manifest.json")]
        return Counter(uuid for key in json.loads(manifest.data)["files"] for uuid in uuids_of(things[key]))

    async def uploads(self, prefix: str) -> list[str]:
        listed = await self.client.list_multipart_uploads(Bucket=self.bucket)
        return [upload["Key"] for upload in listed.get("Uploads", []) if upload["Key"].startswith(prefix)]


@asynccontextmanager
async def open_oracle(runtime: Runtime, stack: Stack) -> AsyncIterator[Oracle]:
    async with open_s3(stack.s3) as client:
        yield Oracle(runtime, client, stack.s3["bucket_name"])


def _every_window_has_ended(runs: Sequence[Run], windows: int | None, failed: int) -> None:
    unfinished = [(run.id, run.status, run.latest_error) for run in runs if run.finished_at is None]
    assert unfinished == [], f"unfinished: {unfinished}"
    every = {(run.data_interval_start, run.data_interval_end) for run in runs}
    assert windows is None or len(every) == windows, f"{len(every)} windows of {windows}"
    without = every - {(run.data_interval_start, run.data_interval_end) for run in current(runs)}
    assert len(without) == failed, f"without success: {sorted(without, key=str)}"


def current(runs: Sequence[Run]) -> list[Run]:
    """Of each window, the completed run that came last."""
    completed = [run for run in runs if run.status == RunStatus.COMPLETED]
    ordered = sorted(completed, key=lambda run: run.finished_at or run.created_at)
    return list({(run.data_interval_start, run.data_interval_end): run for run in ordered}.values())


def uuids_of(thing: Thing) -> list[str]:
    data = gzip.decompress(thing.data) if thing.key.endswith(".gz") else thing.data
    if ".parquet" in thing.key:
        return [str(uuid) for uuid in pq.read_table(io.BytesIO(data), columns=["uuid"])["uuid"].to_pylist()]
    return [json.loads(line)["uuid"] for line in data.splitlines()]
