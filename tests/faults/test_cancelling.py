"""A run is cancelled, its export paused or deleted, at every named moment: it stops within a heartbeat, and leaves
nothing."""

import asyncio
import hashlib
import signal
from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import httpx
import pytest
from sqlalchemy import select

from app import failpoints
from app.embedded import Stack
from app.models import RunFile, RunStatus
from app.runtime import Runtime
from tests.faults.cases import END, Case, add_case
from tests.faults.oracle import Oracle
from tests.http.callers import Tenant
from tests.worker.processes import DEADLINE, Workers, ended, read_run, run_that

MOMENTS = [
    ("one file", failpoints.ALL_SENT),
    ("one file", failpoints.FILE_COMMITTED),
    ("one file", failpoints.WRITTEN),
    ("many files", failpoints.PART_SENT),
    ("many files", failpoints.ANNOUNCED),
    ("many files", failpoints.FILE_COMMITTED),
    ("many files", failpoints.MANIFEST_COMMITTED),
    ("many files", failpoints.WRITTEN),
]


async def by_itself(api: httpx.AsyncClient, case: Case) -> None:
    answer = await api.post(f"/batch_exports/{case.export_id}/runs/{case.runs[0]}/cancel/")
    assert answer.json() == {"cancelled": True}


async def with_its_export(api: httpx.AsyncClient, case: Case) -> None:
    assert (await api.delete(f"/batch_exports/{case.export_id}/")).status_code == 204


@pytest.mark.parametrize("cancel", [by_itself, with_its_export])
@pytest.mark.parametrize(("shape", "point"), MOMENTS)
async def test_a_cancelled_run_leaves_nothing(
    runtime: Runtime,
    stack: Stack,
    workers: Workers,
    oracle: Oracle,
    api: httpx.AsyncClient,
    tenant: Tenant,
    shape: str,
    point: str,
    cancel: Callable[[httpx.AsyncClient, Case], Awaitable[None]],
) -> None:
    case = await add_case(oracle, stack.s3, shape, project_id=tenant.project_id)
    # The lease outlasts the test: that the run is stopped is the heartbeat's doing.
    async with workers.start(at=(point, 1, "STOP"), worker_slots="1", lease_ttl="60") as worker:
        await worker.says(f"failpoint: {point}")
        await cancel(api, case)
        worker.process.send_signal(signal.SIGCONT)
        run = await run_that(runtime, case.runs[0], lambda run: run.lease_until is None)
        assert (run.status, run.records_completed) == (RunStatus.CANCELLED, None)
        await nothing_on_record(runtime)
        assert await oracle.things(case.prefix) == []
        await oracle.judge(case.export_id, case.prefix, failed=1)
        # The slot is free for what comes next.
        other = await add_case(oracle, stack.s3)
        assert (await ended(runtime, other.runs[0])).status == RunStatus.COMPLETED


@pytest.mark.parametrize("second", [False, True], ids=["before the next attempt", "in the next attempt"])
@pytest.mark.parametrize("shape", ["one file", "many files"])
async def test_what_a_lost_attempt_has_left_goes_as_well(
    runtime: Runtime,
    stack: Stack,
    workers: Workers,
    oracle: Oracle,
    api: httpx.AsyncClient,
    tenant: Tenant,
    shape: str,
    second: bool,
) -> None:
    """One attempt is lost when a file of it is visible; the run is cancelled before another one comes to that."""
    case = await add_case(oracle, stack.s3, shape, project_id=tenant.project_id)
    async with workers.start(at=(failpoints.FILE_COMMITTED, 1, "KILL")) as lost:
        await lost.died()
    assert await oracle.things(case.prefix) != []
    if not second:
        await by_itself(api, case)
    async with workers.start(at=(failpoints.ALL_SENT, 1, "STOP"), worker_slots="1", lease_ttl="60") as worker:
        if second:
            await worker.says("failpoint")
            await by_itself(api, case)
            worker.process.send_signal(signal.SIGCONT)
        await nothing_on_record(runtime)
        assert await oracle.things(case.prefix) == []
        run = await run_that(runtime, case.runs[0], lambda run: run.lease_until is None)
    assert run.status == RunStatus.CANCELLED


async def nothing_on_record(runtime: Runtime) -> None:
    """Return once there are no keys that may be there, so far as anybody knows. On a machine so busy that the worker
    gives up cleaning, another pass deletes them."""
    async with asyncio.timeout(DEADLINE):
        while await announced(runtime):
            await asyncio.sleep(0.05)


async def announced(runtime: Runtime) -> Sequence[str]:
    async with runtime.sessions() as session:
        return (await session.scalars(select(RunFile.key))).all()


async def test_a_paused_export_finishes_its_run_and_begins_no_other(
    runtime: Runtime,
    stack: Stack,
    workers: Workers,
    oracle: Oracle,
    api: httpx.AsyncClient,
    tenant: Tenant,
) -> None:
    case = await add_case(oracle, stack.s3, "many files", project_id=tenant.project_id)
    async with workers.start(at=(failpoints.PART_SENT, 1, "STOP"), worker_slots="1", lease_ttl="60") as worker:
        await worker.says("failpoint")
        assert (await api.post(f"/batch_exports/{case.export_id}/pause/")).json() == {"paused": True}
        worker.process.send_signal(signal.SIGCONT)
        assert (await ended(runtime, case.runs[0])).status == RunStatus.COMPLETED
    await oracle.judge(case.export_id, case.prefix, windows=1)


@pytest.mark.parametrize("point", [failpoints.ALL_SENT, failpoints.FILE_COMMITTED, failpoints.WRITTEN])
async def test_a_rerun_that_is_cancelled_leaves_the_window_whole(
    runtime: Runtime,
    stack: Stack,
    workers: Workers,
    oracle: Oracle,
    api: httpx.AsyncClient,
    tenant: Tenant,
    point: str,
) -> None:
    """What it has overwritten cannot be had back; so either nothing is overwritten yet, or all of it is."""
    case = await add_case(oracle, stack.s3, "many files", project_id=tenant.project_id)
    async with workers.start():
        await ended(runtime, case.runs[0])
    runs = f"/batch_exports/{case.export_id}/runs/"
    assert (await api.post(f"{runs}{case.runs[0]}/retry/")).status_code == 201
    rerun = next(run["id"] for run in (await api.get(runs)).json()["results"] if run["id"] != str(case.runs[0]))
    async with workers.start(at=(point, 1, "STOP"), worker_slots="1", lease_ttl="60") as worker:
        await worker.says("failpoint")
        assert (await api.post(f"{runs}{rerun}/cancel/")).status_code == 200
        worker.process.send_signal(signal.SIGCONT)
        await run_that(runtime, UUID(rerun), lambda run: run.lease_until is None)
    found = await oracle.things(case.prefix)
    whole = await oracle.uuids_of_manifest(case.prefix)
    assert whole == oracle.truth.within(case.project_id, None, END)
    assert len({thing.attempt for thing in found}) == 1
    assert (await read_run(runtime, UUID(rerun))).status == RunStatus.CANCELLED
    # And what is on record is what lies there.
    there = {thing.key: hashlib.sha256(thing.data).hexdigest() for thing in found}
    assert await oracle.on_record(case.export_id) == there
