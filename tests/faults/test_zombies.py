"""A worker is stopped for longer than its lease, another one finishes its run, and then the first one goes on.

Nothing that it still does may be seen: neither in the row nor in the bucket.
"""

import signal

import pytest

from app import failpoints
from app.embedded import Stack
from app.models import RunStatus
from app.runtime import Runtime
from tests.faults.cases import add_case
from tests.faults.oracle import Oracle
from tests.worker.processes import Workers, ended, read_run, until

MOMENTS = [
    ("one file", failpoints.CLAIMED),
    ("one file", failpoints.ALL_SENT),
    ("one file", failpoints.ANNOUNCED),
    ("one file", failpoints.WRITTEN),
    ("many files", failpoints.PART_SENT),
    ("many files", failpoints.ALL_SENT),
    ("many files", failpoints.ANNOUNCED),
    ("many files", failpoints.FILE_COMMITTED),
    ("many files", failpoints.MANIFEST_COMMITTED),
    ("many files", failpoints.WRITTEN),
]
ENDINGS = ("run stopped", "outcome not recorded")


@pytest.mark.parametrize(("shape", "point"), MOMENTS)
async def test_a_worker_that_was_asleep_changes_nothing_when_it_wakes(
    runtime: Runtime, stack: Stack, workers: Workers, oracle: Oracle, shape: str, point: str
) -> None:
    case = await add_case(oracle, stack.s3, shape)
    async with workers.start(at=(point, 1, "STOP"), worker_slots="1") as zombie:
        await zombie.says(f"failpoint: {point}")
        async with workers.start():
            run = await ended(runtime, case.runs[0])
            before = {thing.key: thing.attempt for thing in await oracle.things(case.prefix)}
            zombie.process.send_signal(signal.SIGCONT)
            await until(lambda: any(words in zombie.log for words in ENDINGS), lambda: zombie.log)
    # A short lease on a busy machine may have lapsed once more: by then it was the other worker's own.
    assert (run.status, run.attempt) == (RunStatus.COMPLETED, 0)
    assert run.epoch > 1
    assert (await read_run(runtime, run.id)).last_updated_at == run.last_updated_at
    assert {thing.key: thing.attempt for thing in await oracle.things(case.prefix)} == before
    await oracle.judge(case.export_id, case.prefix, windows=1)
