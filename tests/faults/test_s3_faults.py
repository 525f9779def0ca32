"""Requests to the store fail, one kind at a time: twice, which nobody notices, or for ever, which ends the run.

All trials of a test go on side by side in one worker. Each is an export of its own, with a place of its own in the
store where its requests fail; what they export is the same.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple
from uuid import UUID, uuid4

import httpx
from sqlalchemy import select

from app.embedded import Stack
from app.models import Project, Run, RunFile, RunStatus
from tests.factories import make_export
from tests.faults.cases import HOUR, START, Case, add_events, add_runs
from tests.faults.hasty import start_hasty
from tests.faults.oracle import Oracle
from tests.faults.s3_trials import CLEANING_UP, LASTING, LITTER, PASSING, SHAPES, Trial
from tests.faults.s3_trouble import FOR_EVER, Place, TroubledProxy, open_trouble
from tests.http.callers import Tenant
from tests.worker.processes import Worker, Workers

DEADLINE: Final = 240.0
"""Seconds after which a test has failed rather than being slow."""
SETTINGS: Final = {
    "worker_slots": "8",
    "retry_max_attempts": "2",
    "auto_pause_after": "0",
    # A machine that is busy with all trials at once is not to be taken for one that is lost.
    "lease_ttl": "30",
    "heartbeat_interval": "5",
}

HUSHED: Final = ("hush", "AKIA", "StringToSign")
"""Words of the store's that might be secrets."""


class Underway(NamedTuple):
    trial: Trial
    case: Case
    place: Place
    oracle: Oracle

    @property
    def run_id(self) -> UUID:
        return self.case.runs[0]


class Matrix:
    """The trials of one test, as exports with a run each."""

    def __init__(self, oracle: Oracle, stack: Stack, proxy: TroubledProxy, project_id: int) -> None:
        self._oracle = oracle
        self._s3 = {**stack.s3, "endpoint_url": proxy.url}
        self._proxy = proxy
        self._project_id = project_id
        self._runtime = oracle.runtime

    async def add(self, trials: Sequence[Trial], times: int) -> list[Underway]:
        for shape in SHAPES.values():
            if shape.events:
                start = START + shape.window * HOUR
                await add_events(self._oracle, self._project_id, start, HOUR, shape.events, shape.size)
        return [await self._add(trial, times) for trial in trials]

    async def _add(self, trial: Trial, times: int) -> Underway:
        shape = SHAPES[trial.shape]
        word = f"faults-{uuid4().hex}"
        async with self._runtime.sessions.begin() as session:
            export = await make_export(
                session,
                self._runtime.cipher,
                await session.get_one(Project, self._project_id),
                destination_type="S3",
                config={**self._s3, "prefix": f"{word}/", **shape.config},
                next_start=START + len(SHAPES) * HOUR,
                paused=True,
            )
            case = Case(export.id, export.project_id, f"{word}/")
        place = self._proxy.place(word, *trial.rules(times), rate=trial.rate)
        await add_runs(self._runtime, case, shape.window)
        return Underway(trial, case, place, self._oracle)

    async def ended(self, worker: Worker) -> dict[UUID, Run]:
        """All runs, by export the latest, once every one has ended."""
        query = select(Run).where(Run.project_id == self._project_id).order_by(Run.finished_at)
        try:
            async with asyncio.timeout(DEADLINE):
                while True:
                    async with self._runtime.sessions() as session:
                        runs = (await session.scalars(query)).all()
                    if all(run.finished_at is not None for run in runs):
                        return {run.export_id: run for run in runs}
                    assert worker.process.returncode is None, worker.log
                    await asyncio.sleep(0.1)
        except TimeoutError:
            open_runs = [(run.id, run.status, run.latest_error) for run in runs if run.finished_at is None]
            raise AssertionError(f"{open_runs}\n{worker.log}") from None


async def every(underway: Sequence[Underway], check: Callable[[Underway], Awaitable[None]]) -> None:
    """Hold all trials to a promise, and name each that breaks it."""
    broken = {}
    for one in underway:
        try:
            await check(one)
        except AssertionError as error:
            broken[str(one.trial)] = str(error).splitlines()[0]
    assert broken == {}, "\n".join(f"{name}\n    {why}" for name, why in broken.items())


async def test_trouble_that_passes_is_not_noticed(
    stack: Stack, workers: Workers, oracle: Oracle, tenant: Tenant
) -> None:
    async with open_trouble(stack.s3["endpoint_url"]) as proxy:
        matrix = Matrix(oracle, stack, proxy, tenant.project_id)
        underway = await matrix.add(PASSING, times=2)
        async with start_hasty(workers, **{**SETTINGS, "retry_max_attempts": "3"}) as worker:
            runs = await matrix.ended(worker)

    async def unnoticed(one: Underway) -> None:
        run = runs[one.case.export_id]
        assert [rule.met for rule in one.place.rules] in ([2], []), "the trouble never came"
        assert run.status == RunStatus.COMPLETED, run.latest_error
        assert run.attempt <= one.trial.attempts, f"{run.attempt} attempts failed"
        await one.oracle.judge(one.case.export_id, one.case.prefix, windows=1)

    await every(underway, unnoticed)


async def test_trouble_that_passes_keeps_nobody_from_tidying_up(
    stack: Stack, workers: Workers, oracle: Oracle, tenant: Tenant, api: httpx.AsyncClient
) -> None:
    async with open_trouble(stack.s3["endpoint_url"]) as proxy:
        matrix = Matrix(oracle, stack, proxy, tenant.project_id)
        underway = await matrix.add(CLEANING_UP, times=2)
        async with start_hasty(workers, **SETTINGS) as worker:
            runs = await matrix.ended(worker)

            async def tidy(one: Underway) -> None:
                assert one.place.rules[0].met == 2, "the trouble never came"
                await has_failed(one, runs[one.case.export_id], RunStatus.FAILED)
                await nothing_is_left(one)

            await every(underway, tidy)
            await mended(matrix, worker, api, underway)


async def test_trouble_that_stays_ends_the_run_and_once_mended_a_retry_exports_all_of_it(
    stack: Stack, workers: Workers, oracle: Oracle, tenant: Tenant, api: httpx.AsyncClient
) -> None:
    async with open_trouble(stack.s3["endpoint_url"]) as proxy:
        matrix = Matrix(oracle, stack, proxy, tenant.project_id)
        underway = await matrix.add(LASTING, FOR_EVER)
        async with start_hasty(workers, **SETTINGS) as worker:
            runs = await matrix.ended(worker)

            async def whole_or_nothing(one: Underway) -> None:
                run = runs[one.case.export_id]
                if one.trial.has_been_done:
                    assert (run.status, run.attempt) == (RunStatus.COMPLETED, 0), f"{run.status} {run.latest_error}"
                    await one.oracle.judge(one.case.export_id, one.case.prefix, windows=1)
                else:
                    await has_failed(one, run, RunStatus.FAILED_RETRYABLE)
                    await nothing_is_left(one)

            await every(underway, whole_or_nothing)
            await mended(matrix, worker, api, [one for one in underway if not one.trial.has_been_done])


async def test_what_could_not_be_tidied_up_is_no_part_of_what_a_retry_exports(
    stack: Stack, workers: Workers, oracle: Oracle, tenant: Tenant, api: httpx.AsyncClient
) -> None:
    async with open_trouble(stack.s3["endpoint_url"]) as proxy:
        matrix = Matrix(oracle, stack, proxy, tenant.project_id)
        underway = await matrix.add(LITTER, FOR_EVER)
        async with start_hasty(workers, **SETTINGS) as worker:
            runs = await matrix.ended(worker)

            async def on_no_record(one: Underway) -> None:
                denied = one.trial.denied is not None
                await has_failed(
                    one, runs[one.case.export_id], RunStatus.FAILED if denied else RunStatus.FAILED_RETRYABLE
                )
                async with oracle.runtime.sessions() as session:
                    committed = select(RunFile.key).where(
                        RunFile.run_id == one.run_id, RunFile.committed_at.is_not(None)
                    )
                    assert (await session.scalars(committed)).all() == []

            await every(underway, on_no_record)
            await mended(matrix, worker, api, underway)


async def has_failed(one: Underway, run: Run, status: RunStatus) -> None:
    error = run.latest_error or ""
    assert (run.status, run.error_class, run.attempt) == (status, one.trial.error_class, 1), f"{run.status} {error}"
    assert f"bucket '{one.oracle.bucket}' at http://127.0.0.1" in error, error
    assert not any(word in error for word in HUSHED), error


async def nothing_is_left(one: Underway) -> None:
    assert [thing.key for thing in await one.oracle.things(one.case.prefix)] == []
    assert await one.oracle.uploads(one.case.prefix) == [], "uploads that nobody will ever complete"


async def mended(matrix: Matrix, worker: Worker, api: httpx.AsyncClient, underway: Sequence[Underway]) -> None:
    """Nothing fails any more; a retry of each run exports its window, and the worker has kept what is secret."""
    for one in underway:
        one.place.mend()
        answer = await api.post(f"/batch_exports/{one.case.export_id}/runs/{one.run_id}/retry/")
        assert answer.status_code == 201, answer.text
    runs = await matrix.ended(worker)

    async def exported(one: Underway) -> None:
        run = runs[one.case.export_id]
        assert (run.status, run.attempt) == (RunStatus.COMPLETED, 0), f"{run.status} {run.latest_error}"
        await one.oracle.judge(one.case.export_id, one.case.prefix, windows=1)

    await every(underway, exported)
    assert not any(word in worker.log for word in HUSHED)
