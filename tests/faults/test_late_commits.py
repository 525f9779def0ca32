"""Rows that are committed after their interval has ended: exported all the same, once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from app.embedded import Stack
from app.errors import Unsettled
from app.runtime import Runtime
from app.settings import Settings
from app.sources.base import EventQuery
from app.sources.postgres import PostgresSource
from app.sources.postgres.settling import Look
from tests.faults.late import TEAM, Connection, Runs, busy_intake, clock_of, insert, looked, until, watch


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Connection]:
    """A connection of the test's own to the event store."""
    connection = await asyncpg.connect(settings.event_store_dsn)
    yield connection
    await connection.close()


@pytest.fixture
async def late(settings: Settings) -> AsyncIterator[Connection]:
    """Another one, for a transaction that stays open."""
    connection = await asyncpg.connect(settings.event_store_dsn, server_settings={"application_name": "late"})
    yield connection
    connection.terminate()  # whatever it is in the middle of


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[Look]:
    return watch(monkeypatch)


@pytest.fixture
async def runs(runtime: Runtime, stack: Stack, store: Connection) -> Runs:
    """Runs whose first window begins now."""
    return Runs(runtime, stack, await clock_of(store))


async def test_a_row_committed_after_its_interval_is_exported_once(
    runs: Runs, store: Connection, late: Connection, looks: list[Look]
) -> None:
    transaction = late.transaction()
    await transaction.start()
    rows = [await insert(store), await insert(late)]
    first = runs.run(await clock_of(store))
    await looked(looks, 2)
    rows.append(await insert(store))
    await transaction.commit()
    await first
    await runs.run(await clock_of(store))
    assert await runs.exported() == sorted(rows)


async def test_without_waiting_that_row_is_lost(
    runs: Runs, store: Connection, late: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the test above can fail."""

    async def settle(source: PostgresSource, query: EventQuery, longest: timedelta) -> None:
        pass

    monkeypatch.setattr(PostgresSource, "settle", settle)
    transaction = late.transaction()
    await transaction.start()
    rows, lost = [await insert(store)], await insert(late)
    await runs.run(await clock_of(store))
    rows.append(await insert(store))
    await transaction.commit()
    await runs.run(await clock_of(store))
    assert await runs.exported() == sorted(rows)
    assert await store.fetchval("SELECT count(*) FROM event_store.events WHERE uuid = $1", lost) == 1


async def test_rows_of_a_copy_that_is_still_being_sent_are_exported_once(
    runs: Runs, store: Connection, late: Connection, looks: list[Look]
) -> None:
    rows = [uuid4() for _ in range(3)]
    go_on = asyncio.Event()

    async def lines() -> AsyncIterator[bytes]:
        yield b"".join(f"{TEAM},{uuid},e,user,{{}},2026-01-01T00:00:00Z\n".encode() for uuid in rows)
        await go_on.wait()

    columns = ["team_id", "uuid", "event", "distinct_id", "properties", "timestamp"]
    copying = asyncio.create_task(
        late.copy_to_table("events", schema_name="event_store", source=lines(), columns=columns, format="csv")
    )

    async def rows_are_there() -> bool:
        return bool(await store.fetchval("SELECT tuples_processed FROM pg_stat_progress_copy") == len(rows))

    await until(rows_are_there)
    first = runs.run(await clock_of(store))
    await looked(looks, 2)
    go_on.set()
    await copying
    await first
    await runs.run(await clock_of(store))
    assert await runs.exported() == sorted(rows)


async def test_a_row_of_a_transaction_that_has_no_id_yet_is_exported_once(
    runs: Runs, store: Connection, late: Connection, looks: list[Look]
) -> None:
    """Its defaults have been evaluated, and a trigger is busy before it is written: no snapshot tells of it."""
    await store.execute(
        "CREATE FUNCTION busy() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END $$; "
        "CREATE TRIGGER busy BEFORE INSERT ON event_store.events FOR EACH ROW EXECUTE FUNCTION busy(); "
        "SELECT pg_advisory_lock(1)"
    )
    inserting = asyncio.create_task(insert(late))
    activity = "SELECT wait_event = 'advisory' AS waits, backend_xid FROM pg_stat_activity WHERE pid = $1"

    async def trigger_is_busy() -> bool:
        return bool(await store.fetchval(activity, late.get_server_pid()))

    await until(trigger_is_busy)
    assert (await store.fetchrow(activity, late.get_server_pid()))["backend_xid"] is None
    first = runs.run(await clock_of(store))
    await looked(looks, 2)
    await store.execute("SELECT pg_advisory_unlock(1)")
    row = await inserting
    await first
    await runs.run(await clock_of(store))
    assert await runs.exported() == [row]


async def test_what_is_rolled_back_holds_up_nobody(
    runs: Runs, store: Connection, late: Connection, looks: list[Look]
) -> None:
    rows = [await insert(store)]
    transaction = late.transaction()
    await transaction.start()
    await insert(late)
    run = runs.run(await clock_of(store))
    await looked(looks, 2)
    assert not run.done()
    await transaction.rollback()
    await run
    assert await runs.exported() == rows


async def test_a_writer_that_is_killed_holds_up_nobody(
    runs: Runs, store: Connection, late: Connection, looks: list[Look]
) -> None:
    await late.execute("BEGIN")
    await insert(late)
    run = runs.run(await clock_of(store))
    await looked(looks, 2)
    assert not run.done()
    await store.execute("SELECT pg_terminate_backend($1)", late.get_server_pid())
    await run
    assert await runs.exported() == []


async def test_consecutive_runs_beside_a_busy_intake_export_every_row_once(
    runtime: Runtime, runs: Runs, store: Connection
) -> None:
    async with busy_intake(runtime.settings.event_store_dsn) as inserted:
        for _ in range(5):
            written = len(inserted)
            await runs.run(await clock_of(store))

            async def more(written: int = written) -> bool:
                return len(inserted) > written + 20

            await until(more)
    await runs.run(await clock_of(store))
    assert await runs.exported() == sorted(inserted)


async def test_a_run_that_waits_too_long_fails_and_exports_nothing(
    runtime: Runtime, runs: Runs, store: Connection, late: Connection
) -> None:
    runs.runtime = replace(
        runtime, settings=runtime.settings.model_copy(update={"late_commit_wait": timedelta(seconds=0.3)})
    )
    await late.execute("BEGIN")
    await insert(late)
    with pytest.raises(Unsettled, match="application 'late'") as raised:
        await runs.run(await clock_of(store))
    assert (raised.value.retryable, raised.value.error_class) == (True, "source")
    assert await runs.exported() == []


async def test_a_cancelled_run_stops_waiting(
    runs: Runs, store: Connection, late: Connection, looks: list[Look]
) -> None:
    await late.execute("BEGIN")
    await insert(late)
    run: asyncio.Task[Any] = runs.run(await clock_of(store))
    await looked(looks)
    run.cancel()
    with suppress(asyncio.CancelledError):
        await asyncio.wait_for(run, 5)
    assert run.cancelled()
