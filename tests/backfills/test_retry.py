"""Retrying a run (the contract's sections 2 and 6.4)."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import select

from app.backfills.advance import Advancer
from app.models import Backfill, Export, Run, RunStatus, SelectBy
from app.pipeline.execute import Executor
from app.runtime import Runtime
from tests.conftest import Clock
from tests.factories import add_event, make_backfill, utc
from tests.http.callers import NOT_FOUND, Tenant, add_tenant, created, no_op, open_client, refused

NOBODY = "0190a5a8-0000-7000-8000-000000000000"
START, END = utc(2026, 5, 1, 10), utc(2026, 5, 1, 11)
NAME = "{}-Backfill-2026-05-01T10:00:00+00:00-2026-05-01T11:00:00+00:00"


@pytest.fixture
async def export(api: httpx.AsyncClient) -> dict[str, Any]:
    return await created(api, no_op())


async def add_run(runtime: Runtime, export: dict[str, Any], **values: Any) -> Run:
    async with runtime.sessions.begin() as session:
        row = await session.get_one(Export, UUID(export["id"]))
        run = Run(
            **{
                "export_id": row.id,
                "project_id": row.project_id,
                "data_interval_start": START,
                "data_interval_end": END,
                "status": RunStatus.FAILED,
                "latest_error": "Transient: reset",
                "created_at": END,
                **values,
            }
        )
        session.add(run)
    return run


async def rows(runtime: Runtime, kind: Any) -> list[Any]:
    async with runtime.sessions() as session:
        return list(await session.scalars(select(kind).order_by(kind.created_at)))


def retry_url(run: Run) -> str:
    return f"/batch_exports/{run.export_id}/runs/{run.id}/retry/"


@pytest.mark.parametrize("status", list(RunStatus))
async def test_a_run_in_any_status_is_retried_by_a_new_run(
    api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any], status: RunStatus
) -> None:
    run = await add_run(runtime, export, status=status)
    assert refused(await api.post(retry_url(run))) == (201, {"backfill_id": NAME.format(export["id"])})
    [old, new] = await rows(runtime, Run)
    assert (old.id, old.status, old.latest_error) == (run.id, status, "Transient: reset")
    [backfill] = await rows(runtime, Backfill)
    assert (new.data_interval_start, new.data_interval_end, new.status) == (START, END, RunStatus.STARTING)
    assert (new.backfill_id, new.select_by, new.attempt) == (backfill.id, "ingested_at", 0)
    assert (backfill.start_at, backfill.end_at, backfill.status) == (START, END, "Running")
    shown = (await api.get(f"/batch_exports/{export['id']}/backfills/{backfill.id}/")).json()
    assert shown["progress"] == {"total_runs": 1, "finished_runs": 0, "progress": 0.0}
    assert (shown["select_by"], shown["adjusted_start_at"]) == ("ingested_at", "2026-05-01T10:00:00Z")


@pytest.mark.parametrize("select_by", list(SelectBy))
async def test_a_retry_selects_rows_as_the_run_did_and_ends_with_its_run(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, export: dict[str, Any], select_by: SelectBy
) -> None:
    values: dict[str, Any] = {"select_by": select_by}
    async with runtime.sessions.begin() as session:
        if select_by == SelectBy.TIMESTAMP:
            row = await session.get_one(Export, UUID(export["id"]))
            values["backfill_id"] = (await make_backfill(session, row, status="Completed")).id
        # One that happened in the window, and three that arrived in it, years late.
        await add_event(session, tenant.project_id, START, inserted_at=END)
        for _ in range(3):
            await add_event(session, tenant.project_id, utc(2020, 1, 1), inserted_at=START)
    run = await add_run(runtime, export, **values)
    assert (await api.post(retry_url(run))).status_code == 201
    executor = Executor(runtime, "worker-1")
    claim = await executor.claim()
    assert claim is not None
    await executor.execute(claim)
    assert claim.backfill_id is not None
    await Advancer(runtime.sessions, runtime.source, runtime.clock, timedelta(0)).advance(claim.backfill_id)
    async with runtime.sessions() as session:
        done = await session.get_one(Run, claim.run_id)
        backfill = await session.get_one(Backfill, claim.backfill_id)
    expected = 1 if select_by == SelectBy.TIMESTAMP else 3
    assert (done.status, done.records_completed) == (RunStatus.COMPLETED, expected)
    assert (backfill.status, backfill.total_records_count) == ("Completed", expected)
    assert len(await rows(runtime, Run)) == 2


async def test_a_run_from_the_beginning_of_time_is_retried_as_such(
    api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any], clock: Clock
) -> None:
    run = await add_run(runtime, export, data_interval_start=None, select_by=SelectBy.TIMESTAMP)
    name = f"{export['id']}-Backfill-START-2026-05-01T11:00:00+00:00"
    assert refused(await api.post(retry_url(run))) == (201, {"backfill_id": name})
    new = (await rows(runtime, Run))[-1]
    assert (new.data_interval_start, new.data_interval_end, new.select_by) == (None, END, "timestamp")
    async with runtime.sessions.begin() as session:
        (await session.get_one(Run, new.id)).status = RunStatus.COMPLETED
    assert await Advancer(runtime.sessions, runtime.source, clock, timedelta(0)).advance(new.backfill_id) is None
    assert [backfill.status for backfill in await rows(runtime, Backfill)] == ["Completed"]


async def test_bounds_are_the_runs_whatever_the_schedule_is_now(
    api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any], clock: Clock
) -> None:
    run = await add_run(runtime, export)
    await api.patch(f"/batch_exports/{export['id']}/", json={"interval": "week"})
    assert (await api.post(retry_url(run))).status_code == 201
    new = (await rows(runtime, Run))[-1]
    assert (new.data_interval_start, new.data_interval_end) == (START, END)


async def test_of_ten_retries_at_once_one_makes_a_run_and_all_are_told_the_same(
    api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any]
) -> None:
    run = await add_run(runtime, export)
    answers = await asyncio.gather(*(api.post(retry_url(run)) for _ in range(10)))
    assert [refused(answer) for answer in answers] == [(201, {"backfill_id": NAME.format(export["id"])})] * 10
    assert (len(await rows(runtime, Run)), len(await rows(runtime, Backfill))) == (2, 1)
    # Once it has ended, another one may follow.
    async with runtime.sessions.begin() as session:
        (await session.get_one(Backfill, (await rows(runtime, Backfill))[0].id)).status = "Completed"
    assert (await api.post(retry_url(run))).status_code == 201
    assert len(await rows(runtime, Run)) == 3


async def test_retries_are_no_backfills_to_the_limit(
    app: FastAPI, api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any]
) -> None:
    for hour in range(6):
        start = START + timedelta(hours=hour)
        run = await add_run(runtime, export, data_interval_start=start, data_interval_end=start + timedelta(hours=1))
        assert (await api.post(retry_url(run))).status_code == 201
    body = {"start_at": "2026-05-01T00:00:00Z", "end_at": "2026-05-02T00:00:00Z"}
    for status in [201] * 5 + [429]:
        assert (await api.post(f"/batch_exports/{export['id']}/backfills/", json=body)).status_code == status
    assert (await api.post(retry_url(await add_run(runtime, export, data_interval_start=None)))).status_code == 201


async def test_a_retry_can_be_cancelled(api: httpx.AsyncClient, runtime: Runtime, export: dict[str, Any]) -> None:
    await api.post(retry_url(await add_run(runtime, export)))
    [backfill] = await rows(runtime, Backfill)
    url = f"/batch_exports/{export['id']}/backfills/{backfill.id}/cancel/"
    assert refused(await api.post(url)) == (200, {"cancelled": True})
    assert [run.status for run in await rows(runtime, Run)] == ["Failed", "Cancelled"]


async def test_what_is_not_there_is_not_retried(
    app: FastAPI, api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, export: dict[str, Any]
) -> None:
    run = await add_run(runtime, export)
    other = await created(api, no_op())
    for path in (f"{other['id']}/runs/{run.id}", f"{export['id']}/runs/{NOBODY}", f"{export['id']}/runs/x"):
        assert refused(await api.post(f"/batch_exports/{path}/retry/")) == (404, NOT_FOUND)
    sibling = await add_tenant(runtime, organization_id=tenant.organization_id)
    async with open_client(app, sibling) as client:
        assert refused(await client.post(retry_url(run))) == (404, NOT_FOUND)
    assert (await api.delete(f"/batch_exports/{export['id']}/")).status_code == 204
    assert refused(await api.post(retry_url(run))) == (404, NOT_FOUND)
    assert len(await rows(runtime, Run)) == 1
