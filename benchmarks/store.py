"""The same hour exported from a small table of events and from a large one: what a run costs must follow its rows."""

import asyncio
from datetime import datetime, timedelta
from typing import Final

from app.models import SelectBy
from app.scheduling.intervals import Window
from benchmarks.export import discarding_store
from benchmarks.service import END, Service, open_service
from benchmarks.tables import Table
from benchmarks.worker import open_worker

TIMES: Final = 20
"""How much larger the large table is."""
HOURS: Final = 5
"""That the small table holds. The measured one is in its middle."""
REPEATS: Final = 5
TARGET: Final = 1.3
SAMPLE: Final = 100_000

HOUR: Final = timedelta(hours=1)
MEASURED: Final = Window(END + 2 * HOUR, END + 3 * HOUR)

COLUMNS: Final = "team_id, event, distinct_id, person_id, properties, person_properties, elements_chain"

GROW: Final = f"""
INSERT INTO event_store.events (uuid, timestamp, inserted_at, {COLUMNS})
SELECT gen_random_uuid(), moment, moment, {COLUMNS}
FROM (
    SELECT 1 + number % $4 AS place, $1::timestamptz + number * $2::interval / $3 AS moment
    FROM generate_series(0, $3 - 1) AS number
) AS numbers
JOIN sample USING (place)
"""
"""``$3`` copies of the ``$4`` sample events, ingested one after another from ``$1`` on, over ``$2``."""


async def measure(rows: int) -> Table:
    async with open_service() as small, open_service() as large, discarding_store() as port:
        await _fill(small, rows, HOURS)
        await _fill(large, rows * TIMES, HOURS * TIMES)
        few, many = [], []
        # In turns, so that whatever else the machine does meets both.
        for _ in range(REPEATS):
            few.append(await _export(small, port))
            many.append(await _export(large, port))
    table = Table(
        ["events in the table", "seconds for the hour", "ratio"],
        f"One hour, {rows // HOURS:,} events by ingestion time, to Parquet with zstd; the best of {REPEATS}. "
        f"Target: at most {TARGET:g}.",
    )
    table.add(f"{rows:,}", f"{min(few):.2f}", "1.00")
    table.add(f"{rows * TIMES:,}", f"{min(many):.2f}", f"{min(many) / min(few):.2f}")
    return table


async def _fill(service: Service, rows: int, hours: int) -> None:
    """As many events to an hour, however many there are."""
    await service.load(await service.write_sample(SAMPLE))
    async with service.store() as store:
        await store.execute(
            f"CREATE TABLE sample AS SELECT row_number() OVER () AS place, {COLUMNS} FROM event_store.events"
        )
        await store.execute("TRUNCATE event_store.events")
        # Quicker to make so, and read like any other.
        await store.execute("ALTER TABLE event_store.events SET UNLOGGED")
        indexes = await store.fetch(
            "SELECT indexdef, indexname FROM pg_indexes WHERE tablename = 'events' AND indexname LIKE 'ix%'"
        )
        for index in indexes:
            await store.execute(f"DROP INDEX event_store.{index['indexname']}")
        await store.execute("ALTER TABLE event_store.events DROP CONSTRAINT pk_events")
        half = hours * HOUR / 2
        await asyncio.gather(*(_grow(service, END + part * half, half, rows // 2) for part in range(2)))
        await store.execute("SET maintenance_work_mem = '1GB'")
        await store.execute(
            "ALTER TABLE event_store.events ADD CONSTRAINT pk_events PRIMARY KEY (team_id, uuid)", timeout=3600
        )
        for index in indexes:
            await store.execute(index["indexdef"], timeout=3600)
        await store.execute("DROP TABLE sample")
        await store.execute("VACUUM ANALYZE event_store.events", timeout=3600)


async def _grow(service: Service, since: datetime, span: timedelta, rows: int) -> None:
    async with service.store() as store:
        # All of the sample in one hash table: so the rows come in the order of their times.
        await store.execute("SET work_mem = '1GB'")
        await store.execute(GROW, since, span, rows, SAMPLE, timeout=7200)


async def _export(service: Service, port: int) -> float:
    config = {"file_format": "Parquet", "compression": "zstd"}
    async with open_worker(service) as worker:
        [done] = await worker.export(port, config, [MEASURED], SelectBy.INGESTED_AT)
    assert done.run.records_completed
    return done.seconds
