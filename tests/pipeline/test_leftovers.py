"""What ended runs have left at their destinations is deleted, and nothing else is."""

import asyncio
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select, update

from app.destinations.base import Written, WrittenFile
from app.destinations.objects.store import ATTEMPT_KEY
from app.embedded import Stack
from app.errors import Misconfigured
from app.logs.lines import Line
from app.models import Export, Run, RunFile, RunStatus
from app.pipeline import leftovers as leftovers_module
from app.pipeline.leftovers import Sweeper, open_sweeper
from app.runs.claim import Claim
from app.runs.claims import NOW, ClaimRepository
from app.runs.files import RunFileRepository
from app.runtime import Runtime
from app.scheduling.intervals import Window
from tests.destinations.harness import S3Harness
from tests.factories import make_backfill, make_export, utc

WINDOW = Window(utc(2026, 1, 1), utc(2026, 1, 1, 1))
TTL = timedelta(seconds=40)


@dataclass
class Place:
    """An export, and its part of a bucket."""

    runtime: Runtime
    s3: S3Harness
    export_id: UUID
    location: str
    lines: list[Line] = field(default_factory=list)

    def write(self, line: Line) -> None:
        self.lines.append(line)

    async def claim(self, *, backfill: bool = False) -> Claim:
        """A run of the window, claimed."""
        async with self.runtime.sessions.begin() as session:
            export = await session.get_one(Export, self.export_id)
            made = await make_backfill(session, export) if backfill else None
            claims = ClaimRepository(session)
            await claims.add(export, [WINDOW], timedelta(0), backfill_id=made.id if made is not None else None)
            claim = await claims.claim("lost", TTL)
        assert claim is not None
        return claim

    async def leave(self, claim: Claim, *keys: str, commit: bool = False) -> None:
        """Objects as an attempt makes them visible; with ``commit`` they are put on record as well."""
        async with self.s3.client() as client:
            for key in keys:
                await client.put_object(
                    Bucket=self.s3.bucket,
                    Key=self.key(key),
                    Body=b"x",
                    Metadata={ATTEMPT_KEY: f"{claim.run_id}/{claim.epoch}"},
                )
        names = [self.key(key) for key in keys]
        async with self.runtime.sessions.begin() as session:
            files = RunFileRepository(session)
            await files.announce(claim, self.location, names)
            if commit:
                written = tuple(WrittenFile(name, 1, 1, "0" * 64) for name in names)
                await files.commit(claim, Written(len(names), len(names), written, location=self.location))

    async def end(self, claim: Claim, status: RunStatus = RunStatus.CANCELLED, **values: Any) -> None:
        """The run ends, and nobody holds it."""
        values = {"status": status, "finished_at": ago(timedelta(minutes=1)), "lease_until": None, **values}
        async with self.runtime.sessions.begin() as session:
            await session.execute(update(Run).where(Run.id == claim.run_id).values(**values))

    async def announced(self, before: timedelta) -> None:
        async with self.runtime.sessions.begin() as session:
            await session.execute(update(RunFile).values(announced_at=ago(before)))

    async def visible(self) -> set[str]:
        return {key.removeprefix(f"{self.s3.prefix}/") for key in await self.s3.visible()}

    async def on_record(self) -> set[str]:
        query = select(RunFile.key).join(Run, Run.id == RunFile.run_id).where(Run.export_id == self.export_id)
        async with self.runtime.sessions() as session:
            return {key.removeprefix(f"{self.s3.prefix}/") for key in await session.scalars(query)}

    async def run(self, claim: Claim) -> Run:
        async with self.runtime.sessions() as session:
            return await session.get_one(Run, claim.run_id)

    def key(self, name: str) -> str:
        return f"{self.s3.prefix}/{name}"

    async def sweep(self) -> bool:
        return await Sweeper(self.runtime, "here", self).sweep()


def ago(span: timedelta) -> Any:
    """By the database's clock."""
    return NOW - span


@pytest.fixture
async def place(runtime: Runtime, stack: Stack) -> Place:
    s3 = S3Harness("S3", stack)
    async with runtime.sessions.begin() as session:
        config = {**stack.s3, "prefix": s3.prefix}
        export = await make_export(session, runtime.cipher, destination_type="S3", config=config)
    return Place(runtime, s3, export.id, s3.make().location)


@pytest.mark.parametrize("status", [RunStatus.CANCELLED, RunStatus.FAILED, RunStatus.TIMED_OUT])
async def test_what_a_lost_attempt_has_left_is_deleted_and_forgotten(place: Place, status: RunStatus) -> None:
    claim = await place.claim()
    await place.leave(claim, "a", "b")
    await place.end(claim, status)
    assert await place.sweep()
    assert await place.visible() == set()
    assert await place.on_record() == set()
    run = await place.run(claim)
    assert (run.status, run.epoch, run.owner, run.lease_until) == (status, claim.epoch + 1, None, None)
    assert not await place.sweep()


async def test_a_run_that_is_held_is_left_alone(place: Place) -> None:
    claim = await place.claim()
    await place.leave(claim, "a")
    assert not await place.sweep()
    # Cancelled, and its worker cleans up behind it.
    await place.end(claim, lease_until=(await place.run(claim)).lease_until)
    assert not await place.sweep()
    assert await place.visible() == {"a"}


async def test_what_waits_for_its_next_attempt_is_left_to_that(place: Place) -> None:
    claim = await place.claim()
    await place.leave(claim, "a")
    await place.end(claim, RunStatus.RUNNING, finished_at=None)
    assert not await place.sweep()


async def test_objects_that_somebody_else_has_put_there_stay(place: Place) -> None:
    claim = await place.claim()
    await place.leave(claim, "a", "b")
    await place.end(claim)
    stranger = replace(claim, run_id=uuid4())
    async with place.s3.client() as client:
        metadata = {ATTEMPT_KEY: f"{stranger.run_id}/1"}
        await client.put_object(Bucket=place.s3.bucket, Key=place.key("a"), Body=b"y", Metadata=metadata)
    assert await place.sweep()
    assert await place.visible() == {"a"}


async def test_what_a_completed_run_has_under_the_same_keys_stays_and_people_are_told(place: Place) -> None:
    first = await place.claim()
    await place.leave(first, "a", commit=True)
    await place.end(first, RunStatus.COMPLETED)
    rerun = await place.claim(backfill=True)
    await place.leave(rerun, "a", "b")
    await place.end(rerun)
    assert await place.sweep()
    assert await place.visible() == {"a"}
    [line] = place.lines
    assert (line.run_id, line.level) == (rerun.run_id, "WARNING")
    assert "Retry the run" in line.message
    assert await place.on_record() == {"a"}


async def test_a_destination_that_cannot_be_cleaned_up_is_asked_again_later_and_not_for_ever(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = await place.claim()
    await place.leave(claim, "a")
    await place.end(claim)

    async def refuse(runtime: Runtime, subject: object) -> Any:
        raise Misconfigured("the key is wrong")

    with monkeypatch.context() as patched:
        patched.setattr(leftovers_module, "open_destination", refuse)
        assert await place.sweep()
    run = await place.run(claim)
    assert (run.owner, run.lease_until) == (None, None)
    assert not await place.sweep(), "not at once"
    await place.end(claim, not_before=ago(timedelta(0)))
    await place.announced(timedelta(days=7))
    assert not await place.sweep(), "not for ever"
    await place.announced(timedelta(days=6))
    assert await place.sweep()
    assert await place.visible() == set()


async def test_cleaning_up_ends_before_another_worker_may_have_the_window(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = await place.claim()
    await place.leave(claim, "a")
    await place.end(claim)

    async def hang(runtime: Runtime, subject: object) -> Any:
        await asyncio.Event().wait()

    monkeypatch.setattr(leftovers_module, "open_destination", hang)
    settings = place.runtime.settings.model_copy(update={"lease_ttl": timedelta(milliseconds=50)})
    async with asyncio.timeout(10):
        assert await Sweeper(replace(place.runtime, settings=settings), "here").sweep()
    assert (await place.run(claim)).lease_until is None


async def test_an_export_that_has_moved_leaves_what_it_cannot_reach(place: Place) -> None:
    claim = await place.claim()
    await place.leave(claim, "a")
    await place.end(claim)
    async with place.runtime.sessions.begin() as session:
        await session.execute(update(RunFile).values(location="s3://elsewhere/bucket"))
    assert await place.sweep()
    assert await place.visible() == {"a"}
    assert not await place.sweep()


async def test_workers_sweep_by_themselves(place: Place) -> None:
    claim = await place.claim()
    await place.leave(claim, "a")
    await place.end(claim)
    async with asyncio.timeout(20), open_sweeper(place.runtime, "here", place):
        while await place.on_record():
            await asyncio.sleep(0.01)
    assert await place.visible() == set()
