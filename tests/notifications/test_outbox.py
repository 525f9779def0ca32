"""What is told is written once, in the transaction of what it tells about, for every channel."""

import asyncio
from datetime import timedelta

from app.notifications.notices import Kind, Notice
from app.notifications.outbox import Outbox
from app.runtime import Runtime
from tests.conftest import Clock
from tests.http.callers import Tenant, add_tenant
from tests.notifications.told import add_export, deliveries, notifications, tell


async def test_one_a_day_and_export_reaches_every_channel(
    runtime: Runtime, tenant: Tenant, clock: Clock, both: str
) -> None:
    export, other = await add_export(runtime, tenant.project_id), await add_export(runtime, tenant.project_id)
    clock.now = clock.now.replace(hour=23, minute=59)
    assert [len(await tell(runtime, one)) for one in (export, export, other)] == [1, 0, 1]
    assert len(await tell(runtime, export, Kind.INTERVAL_OVERDUE)) == 1
    clock.now += timedelta(minutes=2)
    assert len(await tell(runtime, export)) == 1
    rows = await deliveries(runtime)
    assert [(row.channel, row.recipient) for row in rows] == [("email", "ann@example.com")] * 4 + [
        ("webhook", None)
    ] * 4


async def test_many_at_once_tell_once(runtime: Runtime, tenant: Tenant, both: str) -> None:
    export = await add_export(runtime, tenant.project_id)
    told = await asyncio.gather(*(tell(runtime, export) for _ in range(10)))
    assert sorted(len(one) for one in told) == [0] * 9 + [1]
    assert len(await deliveries(runtime)) == 2


async def test_what_is_taken_back_was_never_told(runtime: Runtime, tenant: Tenant, both: str) -> None:
    export = await add_export(runtime, tenant.project_id)
    async with runtime.sessions() as session:
        await Outbox(session).add([Notice.daily(Kind.RUN_FAILED, export, runtime.clock())], runtime.clock())
        await session.rollback()
    assert await notifications(runtime) == []
    assert len(await tell(runtime, export)) == 1


async def test_a_project_without_channels_and_another_ones_get_nothing(
    runtime: Runtime, tenant: Tenant, both: str
) -> None:
    other = await add_tenant(runtime)
    await tell(runtime, await add_export(runtime, other.project_id))
    assert len(await notifications(runtime)) == 1
    assert await deliveries(runtime) == []


async def test_old_ones_are_pruned_with_their_deliveries(
    runtime: Runtime, tenant: Tenant, clock: Clock, both: str
) -> None:
    export = await add_export(runtime, tenant.project_id)
    await tell(runtime, export)
    clock.now += timedelta(days=1)
    await tell(runtime, export)
    async with runtime.sessions.begin() as session:
        await Outbox(session).prune(clock.now, 10)
    assert [one.created_at for one in await notifications(runtime)] == [clock.now]
    assert len(await deliveries(runtime)) == 2
