"""Postgres is restarted, or cut off at the very moment of a commit: the row alone says what happened."""

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.embedded import Stack
from app.models import RunStatus
from app.runtime import Runtime
from app.settings import Settings
from tests.faults.cases import add_case
from tests.faults.oracle import Oracle
from tests.faults.stacks import Own, open_own
from tests.worker.processes import DEADLINE, Workers, ended
from tests.worker.proxy import Watch, open_proxy
from tests.worker.test_outages import port_of, through

STATEMENTS = {
    # With the comma: the sweeper, which takes runs that have ended, sets nothing before the epoch.
    "claim": b", epoch=(runs.epoch",
    "heartbeat": b"UPDATE runs SET lease_until",
    "announcing": b"INSERT INTO run_files",
    "completing": b"records_completed=",
}
"""What the transactions of a run are known by, on the wire."""
RESTARTS = 3


def losing_the_commit_of(statement: bytes, losses: int) -> "Losing":
    return Losing(statement, losses)


class Losing:
    """Connections that end after a commit of one kind has been sent, before its answer is heard."""

    def __init__(self, statement: bytes, losses: int) -> None:
        self._statement = statement
        self.left = losses

    def __call__(self) -> Watch:
        seen = False

        def watch(data: bytes) -> bool:
            nonlocal seen
            seen = seen or self._statement in data
            if seen and b"COMMIT" in data:
                seen = False
                if self.left > 0:
                    self.left -= 1
                    return True
            return False

        return watch


@pytest.mark.parametrize("statement", STATEMENTS)
@pytest.mark.parametrize("losses", [1, 2])
async def test_a_commit_whose_answer_is_lost_is_read_from_the_row(
    runtime: Runtime, stack: Stack, workers: Workers, oracle: Oracle, statement: str, losses: int
) -> None:
    url = workers.env["BATCH_EXPORTS_DATABASE_URL"]
    losing = Losing(STATEMENTS[statement], losses)
    case = await add_case(oracle, stack.s3, "many files")
    async with open_proxy(port_of(url), losing) as proxy:
        # Statements by their text, every time: a connection would know them by a number from the second time on.
        through_proxy = f"{through(proxy, url)}?prepared_statement_cache_size=0"
        async with workers.start(
            database_url=through_proxy,
            event_store_url=url,
            heartbeat_interval="0.05",
            lease_ttl="3",
            worker_slots="1",
        ):
            run = await ended(runtime, case.runs[0])
    assert losing.left == 0
    assert (run.status, run.attempt) == (RunStatus.COMPLETED, 0)
    # Of a claim nobody knows that it is his, so its lease lapses. The one after it finds nothing to lose.
    assert run.epoch == (2 if statement == "claim" else 1)
    await oracle.judge(case.export_id, case.prefix, windows=1)


@pytest.fixture
async def own(tmp_path: Path, settings: Settings) -> AsyncIterator[Own]:
    async with open_own(tmp_path, settings) as opened:
        yield opened


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["restart", "crash"])
async def test_nothing_is_lost_or_doubled_while_postgres_restarts(own: Own, how: signal.Signals) -> None:
    """Event store and the service's own state are on it: claims, heartbeats, reading and recording all are hit."""
    windows = 4 * RESTARTS
    case = await add_case(own.oracle, own.stack.s3, "many files", windows=windows)
    async with own.workers.start(), own.workers.start():
        for number in range(RESTARTS):
            await ended(own.runtime, case.runs[number], 2 * DEADLINE)
            await own.restart("postgres", how)
        for run_id in case.runs:
            assert (await ended(own.runtime, run_id, 3 * DEADLINE)).status == RunStatus.COMPLETED
    await own.oracle.judge(case.export_id, case.prefix, windows=windows)
