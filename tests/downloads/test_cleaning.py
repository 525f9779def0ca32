"""What becomes of a download's objects once nobody can fetch them any more."""

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import text

from app import failpoints
from app.downloads import cleaning
from app.downloads.cleaning import AGAIN_AFTER, Cleaner
from app.downloads.repository import GIVE_UP_AFTER
from app.embedded import Stack
from app.models import RunStatus
from app.pipeline.execute import Executor
from app.runtime import Runtime
from app.settings import Settings
from tests.conftest import Clock
from tests.destinations.harness import open_s3
from tests.destinations.s3_proxy import Request, Verdict, error, let_through, open_proxy
from tests.destinations.trouble import failing
from tests.downloads.asking import PATH, Downloads, ask, link, shown
from tests.http.callers import Tenant, invalid, refused
from tests.pipeline.attempts import hurried

WEEK = timedelta(days=7)


@pytest.fixture(autouse=True)
def no_failpoints() -> Iterator[None]:
    yield
    failpoints.install(None)


async def made(api: httpx.AsyncClient, downloads: Downloads) -> str:
    """A download of several files, completed."""
    download_id = await ask(api, file={"format": "JSONLines", "max_size_mb": 1})
    await downloads.make()
    return download_id


async def test_what_has_expired_is_deleted_and_nothing_else(
    api: httpx.AsyncClient, downloads: Downloads, tenant: Tenant, runtime: Runtime, clock: Clock, stack: Stack
) -> None:
    await downloads.add_events(tenant.project_id, 2)
    old = await made(api, downloads)
    clock.now += timedelta(days=1)
    new = await made(api, downloads)
    prefix = runtime.settings.download_prefix
    # Whose prefix begins alike.
    bystander = f"{prefix}/{tenant.project_id}/{old}0/file.jsonl"
    async with open_s3(stack.s3) as s3:
        bucket = stack.s3["bucket_name"]
        await s3.put_object(Bucket=bucket, Key=bystander, Body=b"x")
        # What an attempt has left that was lost for good.
        await s3.create_multipart_upload(Bucket=bucket, Key=f"{prefix}/{tenant.project_id}/{old}/lost.jsonl")
    cleaner = Cleaner(runtime)
    clock.now += WEEK - timedelta(days=1, seconds=1)
    await cleaner.clean()
    assert (await downloads.row(old)).removed_at is None
    clock.now += timedelta(seconds=1)
    # By any number of workers at once, and again.
    await asyncio.gather(*(Cleaner(runtime).clean() for _ in range(3)))
    await cleaner.clean()
    kept = [key for key in await downloads.objects() if f"/{new}/" in key]
    assert len(kept) == 2
    assert await downloads.objects() == sorted([*kept, bystander])
    assert (await downloads.row(old)).removed_at == clock.now
    assert (await downloads.row(new)).removed_at is None
    document = await shown(api, old)
    assert (document["status"], len(document["files"])) == ("Completed", 1)
    assert refused(await link(api, old)) == (400, invalid("This file download has expired"))
    assert (await link(api, new)).status_code == 302
    assert not await cleaner.clean()


async def hang(_: Request) -> Verdict:
    await asyncio.Event().wait()
    return None


TROUBLES = {
    "says nothing": hang,
    "refuses half of it": failing("DeleteObject", error(403, "AccessDenied"), times=1),
    "has no time": failing("ListObjectsV2", error(503, "SlowDown")),
}


async def test_a_store_that_does_not_do_it_is_asked_again_later(
    api: httpx.AsyncClient,
    downloads: Downloads,
    tenant: Tenant,
    runtime: Runtime,
    clock: Clock,
    stack: Stack,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await downloads.add_events(tenant.project_id, 1)
    async with open_proxy(stack.s3["endpoint_url"]) as proxy:
        settings = runtime.settings.model_copy(update={"download_endpoint_url": proxy.url})
        there = replace(downloads, runtime=replace(runtime, settings=settings))
        cleaner = Cleaner(there.runtime)
        for what, trouble in TROUBLES.items():
            download_id = await made(api, there)
            clock.now += WEEK
            monkeypatch.setattr(cleaning, "STORE_LIMIT", 0.5)
            proxy.judge = trouble
            assert not await cleaner.clean(), what
            proxy.judge, seen = let_through, len(proxy.seen)
            # Not at once, nor by anybody else.
            await cleaner.clean()
            assert len(proxy.seen) == seen, what
            assert len(await there.objects()) >= 1, what
            assert (await there.row(download_id)).removed_at is None, what
            clock.now += AGAIN_AFTER
            monkeypatch.setattr(cleaning, "STORE_LIMIT", 60)
            await cleaner.clean()
            assert await there.objects() == [], what
            assert (await there.row(download_id)).removed_at == clock.now, what


async def test_objects_in_another_bucket_than_todays_are_not_taken_for_deleted(
    api: httpx.AsyncClient, downloads: Downloads, tenant: Tenant, runtime: Runtime, clock: Clock
) -> None:
    await downloads.add_events(tenant.project_id, 1)
    download_id = await made(api, downloads)
    clock.now += WEEK
    moved = runtime.settings.model_copy(update={"download_bucket_name": "another"})
    assert not await Cleaner(replace(runtime, settings=moved)).clean()
    row = await downloads.row(download_id)
    assert (row.tried_at, row.removed_at) == (clock.now, None)
    # For a month; then nobody asks any more.
    clock.now += GIVE_UP_AFTER
    await Cleaner(runtime).clean()
    assert (await downloads.row(download_id)).tried_at == row.tried_at


async def test_a_download_that_is_cancelled_while_it_is_made_leaves_nothing(
    api: httpx.AsyncClient, downloads: Downloads, tenant: Tenant, runtime: Runtime, settings: Settings
) -> None:
    await downloads.add_events(tenant.project_id, 3)
    executor = Executor(replace(runtime, settings=hurried(settings)), "worker-1")
    for moment in (failpoints.ALL_SENT, failpoints.FILE_COMMITTED, failpoints.MANIFEST_COMMITTED, failpoints.WRITTEN):
        download_id = await ask(api, file={"format": "JSONLines"})
        reached = []

        async def cancel(here: str, download_id: str = download_id, moment: str = moment) -> None:
            if here == moment:
                reached.append(here)  # noqa: B023  of this very turn
                answer = await api.post(f"{PATH}{download_id}/cancel/")
                assert answer.json() == {"status": "Cancelled"}

        failpoints.install(cancel)
        await executor.execute(await downloads.claim())
        assert reached == [moment]
        assert await shown(api, download_id) == {"status": "Cancelled"}
        assert await downloads.objects() == [], moment
        assert refused(await link(api, download_id)) == (400, invalid("Batch export run was cancelled"))


async def test_what_a_run_has_left_that_ended_without_being_completed_waits_for_no_expiry(
    api: httpx.AsyncClient, downloads: Downloads, tenant: Tenant, runtime: Runtime
) -> None:
    await downloads.add_events(tenant.project_id, 1)
    download_id = await made(api, downloads)
    assert len(await downloads.objects()) == 2
    for status, lease in ((RunStatus.RUNNING, "NULL"), (RunStatus.CANCELLED, "now()")):
        await end(runtime, status, lease)
        await Cleaner(runtime).clean()
        # A worker may still be at it.
        assert len(await downloads.objects()) == 2
    await end(runtime, RunStatus.FAILED, "NULL")
    await Cleaner(runtime).clean()
    assert await downloads.objects() == []
    assert (await downloads.row(download_id)).removed_at is not None


async def end(runtime: Runtime, status: RunStatus, lease: str) -> None:
    async with runtime.sessions.begin() as session:
        await session.execute(text(f"UPDATE runs SET status = :status, lease_until = {lease}"), {"status": status})
