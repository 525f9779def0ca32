"""``events load`` against a bare COPY of the same rows into the same table, indexes and all."""

import time
from pathlib import Path

from benchmarks.service import Service, open_service
from benchmarks.tables import Table

TABLE, SCHEMA = "events", "event_store"
TARGET = 4.0


async def measure(rows: int) -> Table:
    async with open_service() as service:
        path = await service.write_sample(rows)
        size = path.stat().st_size / rows
        loaded = await service.load(path)
        seconds = await _copy(service, path.with_suffix(".copy"))
        # A tenth of the rows, for how memory grows with them.
        small = await service.load(await service.write_sample(rows // 10))
    table = Table(
        ["", "seconds", "rows/s", "ratio to COPY", "peak memory"],
        f"{rows:,} events of about {size:.0f} bytes. Target: at most {TARGET:g} times a bare COPY.",
    )
    table.add("bare `COPY`, binary", f"{seconds:.1f}", f"{rows / seconds:,.0f}", "1.00", "")
    table.add(
        "`events load`, JSON Lines",
        f"{loaded.seconds:.1f}",
        f"{rows / loaded.seconds:,.0f}",
        f"{loaded.seconds / seconds:.2f}",
        f"{loaded.peak_mib:.0f} MiB",
    )
    table.add("`events load`, a tenth of them", f"{small.seconds:.1f}", "", "", f"{small.peak_mib:.0f} MiB")
    return table


async def _copy(service: Service, path: Path) -> float:
    async with service.store() as store:
        await store.copy_from_table(TABLE, schema_name=SCHEMA, output=path, format="binary")
        await store.execute(f"TRUNCATE {SCHEMA}.{TABLE}")
        await store.execute("CHECKPOINT")
        started = time.monotonic()
        await store.copy_to_table(TABLE, schema_name=SCHEMA, source=path, format="binary")
        seconds = time.monotonic() - started
        await store.execute(f"TRUNCATE {SCHEMA}.{TABLE}")
    return seconds
