"""Credentials stop working in the middle of a run: it fails as what it is, and once they are mended nothing is lost."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid4

import httpx
from sqlalchemy import func, select

from app.embedded import Stack
from app.models import Export, LogEntry, Notification, Project, Run, RunStatus
from app.notifications.notices import Kind
from app.runtime import Runtime
from tests.conftest import Clock
from tests.factories import make_export
from tests.faults.cases import HOUR, START, add_case, add_events, add_runs
from tests.faults.hasty import start_hasty
from tests.faults.oracle import Oracle
from tests.faults.s3_trouble import DENIED, EXPIRED, UNKNOWN_KEY, Rule, open_trouble
from tests.http.callers import Tenant
from tests.worker.processes import DEADLINE, Workers, ended

FAILURES: Final = 3
"""After which an export is paused here."""
SETTINGS: Final = {"worker_slots": "3", "lease_ttl": "30", "heartbeat_interval": "5"}
WRITING: Final = ("CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "PutObject")
FLIPS: Final = {
    "a permission is revoked": [Rule(operation, DENIED) for operation in WRITING],
    "the key is deleted": [Rule(None, UNKNOWN_KEY)],
    "the session has expired": [Rule(None, EXPIRED)],
}
TOLD: Final = {
    "a permission is revoked": "refused access; check the permissions of the access key (AccessDenied)",
    "the key is deleted": "does not know the access key (InvalidAccessKeyId)",
    "the session has expired": "refused credentials that have expired (ExpiredToken)",
}


async def test_credentials_that_fail_in_the_middle_of_a_run_lose_nothing(
    runtime: Runtime, stack: Stack, workers: Workers, oracle: Oracle, tenant: Tenant, api: httpx.AsyncClient
) -> None:
    async with open_trouble(stack.s3["endpoint_url"]) as proxy:
        s3 = {**stack.s3, "endpoint_url": proxy.url}
        cases = {}
        for number, (flip, rules) in enumerate(FLIPS.items()):
            start = START + 10 * number * HOUR
            case = await add_case(
                oracle, s3, windows=2, due=1, events=16, size=1024 * 1024, start=start, project_id=tenant.project_id
            )
            cases[flip] = (start, case, proxy.place(case.prefix.rstrip("/"), *rules, good_parts=3))
        async with start_hasty(workers, **SETTINGS):
            for flip, (_, case, place) in cases.items():
                run = await ended(runtime, case.runs[0], 4 * DEADLINE)
                assert place.good_parts == 0
                # Tried three times, for a permission that was granted a moment ago may not be known everywhere yet.
                assert (run.status, run.error_class, run.attempt) == (RunStatus.FAILED, "configuration", 2)
                assert run.latest_error == f"Misconfigured: bucket '{oracle.bucket}' at {proxy.url} {TOLD[flip]}"
                assert await oracle.things(case.prefix) == []
            _, revoked, _ = cases["a permission is revoked"]
            assert await oracle.uploads(revoked.prefix) == []  # which was still permitted
            for start, case, place in cases.values():
                place.mend()
                await retry(api, case.export_id, case.runs[0])
                await add_runs(runtime, case, 1, start=start)
            for _, case, _ in cases.values():
                await all_ended(runtime, case.export_id, runs=3)
        for _, case, _ in cases.values():
            await oracle.judge(case.export_id, case.prefix, windows=2)


async def test_an_export_whose_credentials_fail_is_paused_and_once_mended_misses_nothing(
    runtime: Runtime,
    stack: Stack,
    workers: Workers,
    oracle: Oracle,
    tenant: Tenant,
    api: httpx.AsyncClient,
    clock: Clock,
) -> None:
    """Of its schedule as much is held back, by an end, as is to pass while it is paused: two windows."""
    clock.now = datetime.now(UTC)
    paused_at = clock.now.replace(minute=0, second=0, microsecond=0) - 2 * HOUR
    start = paused_at - FAILURES * HOUR
    prefix = f"faults-{uuid4().hex}"
    async with open_trouble(stack.s3["endpoint_url"]) as proxy:
        place = proxy.place(prefix, Rule(None, DENIED))
        async with runtime.sessions.begin() as session:
            export = await make_export(
                session,
                runtime.cipher,
                await session.get_one(Project, tenant.project_id),
                destination_type="S3",
                config={**stack.s3, "endpoint_url": proxy.url, "prefix": f"{prefix}/"},
                next_start=start,
                end_at=paused_at,
            )
        await add_events(oracle, tenant.project_id, start, (FAILURES + 2) * HOUR, 100)
        async with start_hasty(workers, auto_pause_after=str(FAILURES), **SETTINGS):
            failed = await all_ended(runtime, export.id, runs=FAILURES)
            assert {run.status for run in failed} == {RunStatus.FAILED}
            await paused(runtime, export.id)
            assert await lines(runtime, export.id, f"because {FAILURES} of its latest {FAILURES} runs failed") == 1
            assert await lines(runtime, export.id, TOLD["a permission is revoked"]) > 0
            assert await lines(runtime, export.id, "hush") == await lines(runtime, export.id, "AKIA") == 0
            assert await notices(runtime, export.id) == 1

            place.mend()
            clock.now = datetime.now(UTC)
            await go_on(runtime, export.id)
            unpausing = await api.post(f"/batch_exports/{export.id}/unpause/", json={"backfill": True})
            assert unpausing.json() == {"paused": False}
            for run in failed:
                await retry(api, export.id, run.id)
            await all_ended(runtime, export.id, runs=2 * FAILURES + 2)
        await oracle.judge(export.id, f"{prefix}/")
        ends = {run.data_interval_end for run in await runs_of(runtime, export.id) if run.status == RunStatus.COMPLETED}
        assert ends >= {start + number * HOUR for number in range(1, FAILURES + 3)}
        assert await notices(runtime, export.id) == 1


async def go_on(runtime: Runtime, export_id: UUID) -> None:
    """Past the end of the schedule, as if that time had only passed now."""
    async with runtime.sessions.begin() as session:
        (await session.get_one(Export, export_id)).end_at = None


async def retry(api: httpx.AsyncClient, export_id: UUID, run_id: UUID) -> None:
    answer = await api.post(f"/batch_exports/{export_id}/runs/{run_id}/retry/")
    assert answer.status_code == 201, answer.text


async def runs_of(runtime: Runtime, export_id: UUID) -> Sequence[Run]:
    async with runtime.sessions() as session:
        return (await session.scalars(select(Run).where(Run.export_id == export_id))).all()


async def all_ended(runtime: Runtime, export_id: UUID, runs: int) -> Sequence[Run]:
    """All of an export's runs, once there are so many and each has ended."""
    try:
        async with asyncio.timeout(4 * DEADLINE):
            while len(found := await runs_of(runtime, export_id)) < runs or any(not run.finished_at for run in found):
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError([(run.status, run.latest_error) for run in found]) from None
    return found


async def paused(runtime: Runtime, export_id: UUID) -> None:
    try:
        async with asyncio.timeout(DEADLINE):
            while True:
                async with runtime.sessions() as session:
                    if (await session.get_one(Export, export_id)).paused:
                        return
                await asyncio.sleep(0.05)
    except TimeoutError:
        raise AssertionError("the export goes on") from None


async def lines(runtime: Runtime, export_id: UUID, words: str) -> int:
    """How many lines of the export's log hold these words."""
    held = LogEntry.message.contains(words, autoescape=True)
    query = select(func.count()).where(LogEntry.export_id == export_id, LogEntry.run_id.is_(None), held)
    async with runtime.sessions() as session:
        return (await session.scalars(query)).one()


async def notices(runtime: Runtime, export_id: UUID) -> int:
    """How often people were told that the export is paused."""
    query = select(func.count()).where(Notification.export_id == export_id, Notification.kind == Kind.EXPORT_PAUSED)
    async with runtime.sessions() as session:
        return (await session.scalars(query)).one()
