"""Records of objects: who else writes under the same keys."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from app.destinations.base import Written, WrittenFile
from app.models import Export, Run
from app.runs.files import RunFileRepository
from app.runtime import Runtime
from tests.factories import make_export, make_project, utc

START, END = utc(2026, 1, 1), utc(2026, 1, 1, 1)
PLACE = "s3://store/bucket"


@dataclass
class Attempt:
    """One at a run of an export."""

    run_id: UUID
    export_id: UUID
    epoch: int = 1
    start: datetime | None = START
    end: datetime = END


async def attempt(session: AsyncSession, export: Export, **values: Any) -> Attempt:
    run = Run(
        export_id=export.id,
        project_id=export.project_id,
        data_interval_start=START,
        data_interval_end=END,
        **values,
    )
    session.add(run)
    await session.flush()
    return Attempt(run.id, export.id)


async def commit(session: AsyncSession, made: Attempt, *keys: str, location: str = PLACE) -> None:
    files = RunFileRepository(session)
    await files.announce(made, location, keys)
    written = tuple(WrittenFile(key, 1, 1, "0" * 64) for key in keys)
    await files.commit(made, Written(len(keys), len(keys), written, location=location))


async def test_exports_that_write_under_the_same_keys_are_found(runtime: Runtime) -> None:
    async with runtime.sessions.begin() as session:
        project = await make_project(session)
        own, other, elsewhere, announced = [await make_export(session, runtime.cipher, project) for _ in range(4)]
        await commit(session, await attempt(session, own), "a", "b")
        await commit(session, await attempt(session, other), "b", "c")
        await commit(session, await attempt(session, elsewhere), "a", "b", location="s3://store/another")
        await RunFileRepository(session).announce(await attempt(session, announced), PLACE, ["a"])
        files = RunFileRepository(session)
        assert await files.of_other_exports(own.id, PLACE, ["a", "b"]) == [other.id]
        assert await files.of_other_exports(other.id, PLACE, ["c"]) == []
        assert await files.of_other_exports(own.id, PLACE, []) == []


async def test_what_a_later_run_has_replaced_is_nobodys_any_more(runtime: Runtime) -> None:
    async with runtime.sessions.begin() as session:
        own, other = [await make_export(session, runtime.cipher) for _ in range(2)]
        first = await attempt(session, other)
        await commit(session, first, "a")
        second = Attempt(first.run_id, other.id, epoch=2)
        await commit(session, second, "b")
        files = RunFileRepository(session)
        assert await files.of_other_exports(own.id, PLACE, ["a"]) == []
        assert await files.of_other_exports(own.id, PLACE, ["b"]) == [other.id]
