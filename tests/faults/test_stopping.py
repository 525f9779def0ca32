"""Workers are told to end, again and again: a rolling deploy drops no run, and spends none of its attempts."""

from app import failpoints
from app.embedded import Stack
from app.models import RunStatus
from app.runtime import Runtime
from tests.faults.cases import add_case
from tests.faults.oracle import Oracle
from tests.worker.processes import Workers, ended, read_run

DEPLOYS = 4
"""More than the tries that the queue, or any policy, would give."""


async def test_a_run_survives_any_number_of_deploys(
    runtime: Runtime, stack: Stack, workers: Workers, oracle: Oracle
) -> None:
    case = await add_case(oracle, stack.s3, "many files")
    for _ in range(DEPLOYS):
        async with workers.start(at=(failpoints.PART_SENT, 1, "TERM"), worker_shutdown_grace="0") as worker:
            await worker.died()
            assert worker.process.returncode == 0, worker.log
            assert "run handed back" in worker.log
        left = await read_run(runtime, case.runs[0])
        # At once, rather than when a lease would have lapsed.
        assert (left.status, left.owner, left.lease_until) == (RunStatus.RUNNING, None, None)
    async with workers.start():
        run = await ended(runtime, case.runs[0])
    assert (run.status, run.attempt, run.epoch) == (RunStatus.COMPLETED, 0, DEPLOYS + 1)
    await oracle.judge(case.export_id, case.prefix, windows=1)


async def test_a_worker_that_is_told_to_end_lets_its_run_finish(
    runtime: Runtime, stack: Stack, workers: Workers, oracle: Oracle
) -> None:
    case = await add_case(oracle, stack.s3, "many files", windows=3)
    async with workers.start(
        at=(failpoints.PART_SENT, 1, "TERM"), worker_shutdown_grace="30", worker_slots="1"
    ) as worker:
        await worker.died()
    assert (await read_run(runtime, case.runs[0])).status == RunStatus.COMPLETED
    # It takes up nothing new meanwhile.
    assert [(await read_run(runtime, run_id)).epoch for run_id in case.runs[1:]] == [0, 0]
    async with workers.start():
        for run_id in case.runs:
            await ended(runtime, run_id)
    await oracle.judge(case.export_id, case.prefix, windows=3)
