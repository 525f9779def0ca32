"""What was exported outlives the event store's own rows."""

from datetime import timedelta

import httpx
import pytest

from app.destinations.base import Unfenced
from app.embedded import Stack
from app.errors import NoLongerKept
from app.events.retention import prune
from app.models import SelectBy
from app.pipeline.deliver import deliver
from app.runtime import Runtime
from tests.factories import make_claim
from tests.http.callers import refused
from tests.verification.exported import WINDOW, Exported, MakeExported

HALFWAY = WINDOW.end - timedelta(minutes=59)
"""Some of the events came in before, some after."""


async def again(runtime: Runtime, stack: Stack, done: Exported, select_by: SelectBy) -> None:
    assert WINDOW.start is not None
    config = {**stack.s3, "prefix": done.s3.prefix}
    claim = make_claim(
        project_id=done.project_id,
        destination_type="S3",
        destination_config=runtime.cipher.seal(config),
        start=WINDOW.start,
        end=WINDOW.end,
        select_by=select_by,
    )
    await deliver(runtime, claim, Unfenced())


@pytest.mark.parametrize("select_by", list(SelectBy))
async def test_a_rerun_of_an_interval_that_is_not_whole_any_more_changes_nothing(
    runtime: Runtime, stack: Stack, exported: MakeExported, select_by: SelectBy
) -> None:
    done = await exported()
    before = await done.s3.visible()
    assert before
    await prune(runtime.settings.event_store_dsn, HALFWAY)
    with pytest.raises(NoLongerKept, match=r"keeps what came in since 2026-03-01T00:01:00\+00:00, and the interval"):
        await again(runtime, stack, done, select_by)
    assert await done.s3.visible() == before
    assert await done.s3.unfinished() == []


async def test_an_interval_that_is_whole_can_be_exported_again(
    runtime: Runtime, stack: Stack, exported: MakeExported
) -> None:
    done = await exported()
    assert WINDOW.start is not None
    await prune(runtime.settings.event_store_dsn, WINDOW.start)
    await again(runtime, stack, done, SelectBy.INGESTED_AT)


async def test_what_is_not_kept_cannot_be_verified(
    api: httpx.AsyncClient, runtime: Runtime, exported: MakeExported
) -> None:
    done = await exported()
    await prune(runtime.settings.event_store_dsn, HALFWAY)
    status, body = refused(await api.get(f"{done.path}/verify/"))
    assert status == 400
    assert body["detail"].startswith("The run cannot be verified. NoLongerKept: the event store at ")
