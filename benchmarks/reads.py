"""Lists of the API over a million runs: the same number of statements, answered from indexes, as over a thousand."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi import FastAPI
from sqlalchemy import event, text

from app.main import create_app
from app.tenants.service import create_api_key
from benchmarks.service import Service, open_service
from benchmarks.tables import Table

EXPORTS = 200
FEW = 1_000
REPEATS = 20
WATCHED = ("runs", "backfills", "log_entries")
"""Tables that no statement may read from end to end, once they are large."""

FILL = """
INSERT INTO exports (id, project_id, name, model, destination_type, destination_config, interval, timezone, paused,
                     deleted, next_start, incremental_mode, created_at)
SELECT gen_random_uuid(), :project_id, 'Export ' || n, 'events', 'NoOp', :config, 'hour', 'UTC', true, false, now(),
       'APPEND', now() - n * interval '1 minute'
FROM generate_series(1, :exports) AS n;

INSERT INTO backfills (id, export_id, project_id, start_at, end_at, select_by, status, created_at)
SELECT gen_random_uuid(), export.id, :project_id, now() - n * interval '1 day', now(), 'timestamp', 'Completed',
       now() - n * interval '1 minute'
FROM (SELECT id FROM exports WHERE project_id = :project_id ORDER BY created_at DESC LIMIT 10) AS export,
     generate_series(1, :rows / 1000) AS n;

-- Half of all runs are one export's, the rest is spread over the others.
INSERT INTO runs (id, export_id, project_id, data_interval_start, data_interval_end, select_by, status,
                  records_completed, attempt, epoch, created_at)
SELECT gen_random_uuid(), CASE WHEN n % 2 = 0 THEN ids[1] ELSE ids[1 + n % :exports] END, :project_id,
       timestamptz '2026-01-01' - n * interval '5 minutes', timestamptz '2026-01-01' - (n - 1) * interval '5 minutes',
       'ingested_at', CASE WHEN n % 1000 = 0 THEN 'Failed' ELSE 'Completed' END, n, 0, 1,
       now() - n * interval '1 second'
FROM generate_series(1, :rows) AS n,
     (SELECT array_agg(id ORDER BY created_at DESC) AS ids FROM exports WHERE project_id = :project_id) AS all_exports;

INSERT INTO log_entries (export_id, run_id, timestamp, level, message)
SELECT export_id, id, created_at, CASE WHEN status = 'Failed' THEN 'ERROR' ELSE 'INFO' END,
       'Finished successfully with ' || records_completed || ' records exported'
FROM runs
WHERE records_completed % 100 = 0 OR export_id <> (SELECT id FROM exports ORDER BY created_at DESC LIMIT 1);
"""


@dataclass
class Sent:
    statement: str
    parameters: Any


async def measure(rows: int) -> Table:
    table = Table(
        ["request", "statements", "indexes", f"ms over {rows:,}", f"ratio to {FEW:,}"],
        f"Median of {REPEATS}, in-process. Half of the runs belong to the export that is asked for. No statement reads "
        f"{', '.join(WATCHED)} from end to end: that would end this benchmark.",
    )
    async with open_service() as service:
        app = create_app(service.runtime.settings)
        app.state.runtime = service.runtime
        few = await _measure(service, app, FEW)
        many = await _measure(service, app, rows)
    for name, (count, indexes, seconds) in many.items():
        assert count == few[name][0], f"{name}: {count} statements, and {few[name][0]} over fewer rows"
        table.add(
            name,
            str(count),
            ", ".join(f"`{one}`" for one in indexes),
            f"{seconds * 1e3:.1f}",
            f"{seconds / few[name][2]:.2f}",
        )
    return table


async def _measure(service: Service, app: FastAPI, rows: int) -> dict[str, tuple[int, list[str], float]]:
    """By request: how many statements, the indexes they read, and the median time."""
    key, export_id, run_id = await _fill(service, rows)
    measured = {}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://service.test/api/projects/@current/batch_exports",
        headers={"Authorization": f"Bearer {key}"},
    ) as client:
        for name, path in _requests(export_id, run_id).items():
            await client.get(path)
            with _watching(service) as sent:
                answer = await client.get(path)
            assert answer.status_code == 200, answer.text
            assert answer.json()["results"], name
            times = []
            for _ in range(REPEATS):
                started = time.perf_counter()
                await client.get(path)
                times.append(time.perf_counter() - started)
            measured[name] = (len(sent), await _indexes(service, sent, large=rows > FEW), sorted(times)[REPEATS // 2])
    return measured


def _requests(export_id: str, run_id: str) -> dict[str, str]:
    runs, backfills = f"/{export_id}/runs/", f"/{export_id}/backfills/"
    windows = "start=2020-01-01T00:00:00Z&end=2027-01-01T00:00:00Z"
    return {
        "exports": "/",
        "exports, offset 100": "/?limit=50&offset=100",
        "runs": runs,
        "runs, oldest first": f"{runs}?ordering=created_at&after=-5y",
        "runs, failed": f"{runs}?status=Failed&after=-5y",
        "runs, two statuses": f"{runs}?status=Failed&status=FailedRetryable&after=-5y",
        "runs, by window": f"{runs}?ordering=-data_interval_start&{windows}",
        "runs, by window, oldest first": f"{runs}?ordering=data_interval_start&{windows}",
        "backfills": backfills,
        "backfills, by start": f"{backfills}?ordering=start_at",
        "logs of an export": f"/{export_id}/logs/",
        "logs of an export, errors": f"/{export_id}/logs/?level=ERROR",
        "logs of a run": f"{runs}{run_id}/logs/",
    }


async def _fill(service: Service, rows: int) -> tuple[str, str, str]:
    """A key, the export with most runs, and one of its runs; whatever was there is gone."""
    runtime = service.runtime
    async with runtime.sessions.begin() as session:
        await session.execute(text("TRUNCATE exports, backfills, runs, log_entries CASCADE"))
        parameters = {
            "project_id": service.project_id,
            "config": runtime.cipher.seal({}),
            "rows": rows,
            "exports": EXPORTS,
        }
        for statement in FILL.split(";\n"):
            if statement.strip():
                names = [name for name in parameters if f":{name}" in statement]
                await session.execute(text(statement), {name: parameters[name] for name in names})
        organization = await session.scalar(
            text("SELECT organization_id FROM projects WHERE id = :id"), {"id": service.project_id}
        )
        assert organization is not None
        _, key = await create_api_key(session, organization, ["*"], "benchmark")
        query = (
            "SELECT export_id, run_id FROM log_entries "
            "WHERE export_id = (SELECT id FROM exports ORDER BY created_at DESC LIMIT 1) LIMIT 1"
        )
        export_id, run_id = (await session.execute(text(query))).one()
    async with service.store() as store:
        for name in ("exports", *WATCHED):
            await store.execute(f"VACUUM ANALYZE {name}")
    return key, str(export_id), str(run_id)


@contextmanager
def _watching(service: Service) -> Iterator[list[Sent]]:
    sent: list[Sent] = []

    def note(connection: Any, cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        sent.append(Sent(statement, parameters))

    engine = service.runtime.engine.sync_engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


async def _indexes(service: Service, sent: list[Sent], *, large: bool) -> list[str]:
    """The indexes that the statements read.

    :raises RuntimeError: when one reads a watched table from end to end instead.
    """
    found: list[str] = []
    async with service.runtime.engine.connect() as connection:
        for one in sent:
            if not one.statement.lstrip().upper().startswith("SELECT"):
                continue
            answer = await connection.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {one.statement}", one.parameters)
            [plan] = json.loads(json.dumps(answer.scalar_one()))
            for node in _nodes(plan["Plan"]):
                if large and node["Node Type"] == "Seq Scan" and node["Relation Name"] in WATCHED:
                    raise RuntimeError(f"reads all of {node['Relation Name']}: {one.statement}")
                if "Index Name" in node and node["Index Name"].split("_")[1] in ("exports", "runs", "backfills", "log"):
                    found.append(node["Index Name"])
    return list(dict.fromkeys(found))


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for inner in plan.get("Plans", ()):
        yield from _nodes(inner)
