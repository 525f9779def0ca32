"""The same hour exported from a small table of events and from a large one: what a run costs must follow its rows."""

from datetime import timedelta
from typing import Final

from app.models import SelectBy
from app.scheduling.intervals import Window
from benchmarks.export import discarding_store, export_window
from benchmarks.service import END, START, Service, open_service
from benchmarks.tables import Table

TIMES: Final = 20
"""How much larger the large table is."""
HOURS: Final = 5
"""That the small table holds. The measured one is in its middle."""
REPEATS: Final = 5
TARGET: Final = 1.3
SAMPLE: Final = 100_000

HOUR: Final = timedelta(hours=1)
MEASURED: Final = Window(END + 2 * HOUR, END + 3 * HOUR)

GROW: Final = """
INSERT INTO event_store.events
    (team_id, uuid, event, distinct_id, person_id, properties, person_properties, elements_chain,
     timestamp, inserted_at)
SELECT team_id, gen_random_uuid(), event, distinct_id, person_id, properties, person_properties, elements_chain,
       moment, moment
FROM (
    SELECT event_store.events.*, $1::timestamptz + number * $2::interval / $3 AS moment
    FROM (SELECT number, 1 + number % $4 AS place FROM generate_series(0, $3 - 1) AS number) AS numbers
    JOIN sample ON sample.place = numbers.place
    JOIN event_store.events ON event_store.events.team_id = sample.team_id AND event_store.events.uuid = sample.uuid
    ORDER BY number
) AS made
"""
"""``$3`` copies of sample events, ingested one after another from ``$1`` on, over ``$2``."""


async def measure(rows: int) -> Table:
    async with open_service() as service, discarding_store() as port:
        await service.load(await service.write_sample(SAMPLE))
        await _keep_sample(service)
        await _grow(service, rows, 0, HOURS)
        few = await _export(service, port)
        await _grow(service, rows * (TIMES - 1), HOURS, HOURS * (TIMES - 1))
        many = await _export(service, port)
    table = Table(
        ["events in the table", "seconds for the hour", "ratio"],
        f"One hour, {rows // HOURS:,} events by ingestion time, to Parquet with zstd; the best of {REPEATS}. "
        f"Target: at most {TARGET:g}.",
    )
    table.add(f"{rows:,}", f"{few:.2f}", "1.00")
    table.add(f"{rows * TIMES:,}", f"{many:.2f}", f"{many / few:.2f}")
    return table


async def _keep_sample(service: Service) -> None:
    """The loaded events stay what rows are made of; they were ingested, as far as the table knows, long ago."""
    async with service.store() as store:
        await store.execute(f"UPDATE event_store.events SET inserted_at = timestamptz '{START.isoformat()}'")
        await store.execute(
            "CREATE TABLE sample AS SELECT row_number() OVER () AS place, team_id, uuid FROM event_store.events"
        )
        await store.execute("ANALYZE sample")


async def _grow(service: Service, rows: int, after: int, hours: int) -> None:
    """Add ``rows``, spread over so many hours, from ``after`` hours behind the table's first on."""
    async with service.store() as store:
        await store.execute(GROW, END + after * HOUR, hours * HOUR, rows, SAMPLE, timeout=7200)
        await store.execute("VACUUM ANALYZE event_store.events", timeout=3600)


async def _export(service: Service, port: int) -> float:
    config = {"file_format": "Parquet", "compression": "zstd"}
    found = [await export_window(service, port, config, MEASURED, SelectBy.INGESTED_AT) for _ in range(REPEATS)]
    assert len({run.records_completed for _, run, _ in found}) == 1
    return min(seconds for seconds, _, _ in found)
