"""How far the event store may be pruned: never what is yet to be exported."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from app.events.retention import Pruned
from app.exports.needed import BEGINNING
from app.models import Export
from app.runs.claims import ClaimRepository
from app.runtime import Runtime
from app.scheduling.intervals import Window
from app.scheduling.pruning import Horizon, horizon, open_pruner, prune_store
from tests.conftest import Clock
from tests.events.test_retention import Store, add_event, kept
from tests.factories import make_backfill, make_export, utc

NOW = utc(2026, 6, 1)
RETENTION = timedelta(days=30)
WANTED = NOW - RETENTION
EARLIER = WANTED - timedelta(days=3)


@pytest.fixture(autouse=True)
def _now(clock: Clock) -> None:
    clock.now = NOW


async def add_export(runtime: Runtime, **values: Any) -> Export:
    async with runtime.sessions.begin() as session:
        return await make_export(session, runtime.cipher, **{"next_start": NOW, **values})


async def before(runtime: Runtime) -> Any:
    found = await horizon(runtime, RETENTION)
    assert found.wanted == WANTED
    assert found.held_back == (found.before < WANTED)
    return found.before


async def test_without_exports_everything_old_may_go(runtime: Runtime) -> None:
    assert await horizon(runtime, RETENTION) == Horizon(WANTED, WANTED)


@pytest.mark.parametrize(
    ("values", "holds"),
    [
        ({"next_start": EARLIER}, True),
        ({"next_start": NOW}, False),
        ({"next_start": EARLIER + timedelta(days=3), "model": "sessions"}, True),  # they reach back so far
        ({"next_start": EARLIER, "paused": True}, False),
        ({"next_start": EARLIER, "deleted": True}, False),
        ({"next_start": EARLIER, "end_at": EARLIER}, False),
        ({"next_start": EARLIER, "end_at": NOW}, True),
    ],
)
async def test_what_a_schedule_has_not_come_to_stays(runtime: Runtime, values: dict[str, Any], holds: bool) -> None:
    await add_export(runtime, **values)
    assert await before(runtime) == (EARLIER if holds else WANTED)


@pytest.mark.parametrize(("ended", "holds"), [(False, True), (True, False)])
@pytest.mark.parametrize(("start", "since"), [(EARLIER, EARLIER), (None, BEGINNING)])
async def test_what_a_run_is_reading_stays(runtime: Runtime, start: Any, since: Any, ended: bool, holds: bool) -> None:
    export = await add_export(runtime)
    async with runtime.sessions.begin() as session:
        await ClaimRepository(session).add(export, [Window(start, WANTED)], timedelta(0))
        claim = await ClaimRepository(session).claim("worker-1", timedelta(seconds=40))
        assert claim is not None
        if ended:
            assert await ClaimRepository(session).complete(claim, 0, 0)
    assert await before(runtime) == (since if holds else WANTED)


@pytest.mark.parametrize(
    ("values", "since"),
    [
        ({"status": "Running", "start_at": EARLIER, "next_start": EARLIER + timedelta(days=1)}, timedelta(days=1)),
        ({"status": "Starting", "start_at": EARLIER}, timedelta(0)),
        ({"status": "Completed", "start_at": EARLIER}, WANTED - EARLIER),
    ],
)
async def test_what_a_backfill_has_not_come_to_stays(
    runtime: Runtime, values: dict[str, Any], since: timedelta
) -> None:
    export = await add_export(runtime)
    async with runtime.sessions.begin() as session:
        await make_backfill(session, export, end_at=NOW, select_by="timestamp", **values)
    assert await before(runtime) == EARLIER + since


async def test_a_worker_prunes_where_a_retention_is_set(runtime: Runtime, store: Store) -> None:
    await add_event(store, 7, EARLIER)
    new = await add_event(store, 7, WANTED)
    async with open_pruner(runtime):  # none is set
        pass
    assert len(await kept(store)) == 2
    kept_for = replace(runtime, settings=runtime.settings.model_copy(update={"event_retention": RETENTION}))
    async with open_pruner(kept_for), asyncio.timeout(20):
        while await kept(store) != {new}:
            await asyncio.sleep(0.01)


async def test_what_went_is_counted(runtime: Runtime, store: Store) -> None:
    await add_event(store, 7, EARLIER)
    assert await prune_store(runtime, RETENTION) == (Horizon(WANTED, WANTED), Pruned(events=1))
