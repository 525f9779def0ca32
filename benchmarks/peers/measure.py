"""Rows per second of this service, and of others that bring the same rows to the same kinds of files.

Everything reads the same table of the same Postgres, with JSON cast to text in a view. The others write to a local
directory; this service sends to the discarding store what it would send to S3.
"""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from app.models import SelectBy
from app.scheduling.intervals import Window
from benchmarks.export import discarding_store, fill
from benchmarks.processes import Usage, Watched
from benchmarks.service import END, START, Service, open_service
from benchmarks.tables import Table
from benchmarks.worker import open_worker

HERE: Final = Path(__file__).parent
ENVIRONMENT: Final = HERE / ".venv"
REQUIREMENTS: Final = HERE / "requirements.txt"
BACKENDS: Final = ("pyarrow", "connectorx")
REPEATS: Final = 2
TARGETS: Final = {"Parquet": 3, "JSON Lines": 4}

VIEW: Final = """
CREATE VIEW event_store.peers AS
SELECT uuid::text AS uuid, event, properties::text AS properties, distinct_id, person_id::text AS person_id,
    person_properties::text AS person_properties, elements_chain, timestamp, created_at, inserted_at AS _inserted_at
FROM event_store.events
"""


async def measure(rows: int) -> Table:
    await asyncio.to_thread(_install)
    async with open_service() as service, discarding_store() as port:
        await fill(service, rows)
        async with service.store() as store:
            await store.execute(VIEW)
        others = {f"dlt, {backend}": await _best(service, _dlt(service, backend)) for backend in BACKENDS}
        parquet = await _ours(service, port, rows, {"file_format": "Parquet", "compression": "zstd"})
        sling = await _best(service, _sling(service))
        lines = await _ours(service, port, rows, {"file_format": "JSONLines"})
    table = Table(
        ["", "seconds", "rows/s", "ours is so many times faster", "peak memory"],
        f"{rows:,} events; the best of {REPEATS}. Targets: {TARGETS['Parquet']} times dlt's faster backend, "
        f"{TARGETS['JSON Lines']} times sling's.",
    )
    table.add(*_row("Parquet, zstd: this service", rows, parquet, parquet))
    for name, usage in others.items():
        table.add(*_row(f"Parquet: {name}", rows, usage, parquet))
    table.add(*_row("JSON Lines: this service", rows, lines, lines))
    table.add(*_row("JSON Lines: sling", rows, sling, lines))
    return table


def _row(name: str, rows: int, usage: Usage, ours: Usage) -> tuple[str, ...]:
    times = f"{usage.seconds / ours.seconds:.1f}" if usage is not ours else ""
    return name, f"{usage.seconds:.1f}", f"{rows / usage.seconds:,.0f}", times, f"{usage.peak_mib:.0f} MiB"


def _install() -> None:
    done = ENVIRONMENT / ".installed"
    if done.exists() and done.stat().st_mtime > REQUIREMENTS.stat().st_mtime:
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(ENVIRONMENT)], check=True)
    python = str(ENVIRONMENT / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", "-r", str(REQUIREMENTS)], check=True)
    done.touch()


async def _ours(service: Service, port: int, rows: int, config: dict[str, Any]) -> Usage:
    found = []
    async with open_worker(service) as worker:
        for _ in range(REPEATS):
            [done] = await worker.export(port, config, [Window(START, END)], SelectBy.TIMESTAMP)
            assert done.run.records_completed == rows
            found.append(done.seconds)
    return Usage(min(found), worker.usage.peak_mib)


def _dlt(service: Service, backend: str) -> tuple[list[str], Mapping[str, str]]:
    url = service.runtime.settings.event_store_dsn.replace("postgresql://", "postgresql+psycopg2://", 1)
    return [str(HERE / "dlt_parquet.py"), url, backend, str(_directory(service))], {}


def _sling(service: Service) -> tuple[list[str], Mapping[str, str]]:
    dsn = service.runtime.settings.event_store_dsn
    arguments = ["--src-conn", "EVENTS", "--src-stream", "event_store.peers"]
    target = ["--tgt-object", f"file://{_directory(service)}/out/events.jsonl", "--tgt-options", "{format: jsonlines}"]
    url = f"{dsn}{'&' if '?' in dsn else '?'}sslmode=disable"
    return ["-c", SLING, "run", *arguments, *target], {"EVENTS": url, "SLING_DISABLE_TELEMETRY": "true"}


SLING: Final = """
import os, sys
from sling_linux_amd64 import SLING_BIN
os.chmod(SLING_BIN, 0o755)
os.execv(SLING_BIN, ["sling", *sys.argv[1:]])
"""


def _directory(service: Service) -> Path:
    return service.directory / "peers"


async def _best(service: Service, command: tuple[list[str], Mapping[str, str]]) -> Usage:
    """Its seconds are those that the program has counted itself, without its start, if it has."""
    found = []
    for _ in range(REPEATS):
        directory = _directory(service)
        shutil.rmtree(directory, ignore_errors=True)
        (directory / "out").mkdir(parents=True)
        arguments, env = command
        process = Watched(arguments, env, python=str(ENVIRONMENT / "bin" / "python"))
        usage = await asyncio.to_thread(process.wait)
        own = directory / "seconds"
        found.append(replace(usage, seconds=float(own.read_text())) if own.exists() else usage)
        assert any(path.is_file() for path in (directory / "out").rglob("*")), "nothing was written"
    return min(found, key=lambda usage: usage.seconds)
