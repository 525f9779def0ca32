"""Persons and sessions, source against destination; and rows that nothing tells apart."""

import hashlib
import json
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pyarrow as pa
import pytest

from app.embedded import Stack
from app.formats import FORMATS
from app.formats.base import Unreadable
from app.models import Project
from app.query.tree import Column, Field, Type
from app.runs.claims import ClaimRepository
from app.runtime import Runtime
from app.sources.base import EventQuery
from app.verification.compare import identity_of
from tests.destinations.harness import S3Harness
from tests.factories import make_export
from tests.http.callers import Tenant
from tests.sources.people import ANNE, add_mapping, add_person
from tests.sources.store import Connection, add
from tests.verification.exported import START, WINDOW, Exported, execute_one

DISTINCT_IDS = ["user", "USER", "\u00e9 \u0130 🦔"]
"""What upper and lower case are of some letters, depends on whom one asks."""
SESSION_IDS = ["a", "A", "b"]


@pytest.fixture
def export(runtime: Runtime, stack: Stack, tenant: Tenant, store: Connection) -> Any:
    """Exports a model's rows of an hour."""
    return partial(_export, runtime, stack, tenant.project_id, store)


async def _export(
    runtime: Runtime,
    stack: Stack,
    project_id: int,
    store: Connection,
    model: str,
    hogql_query: str | None = None,
    **config: Any,
) -> Exported:
    await add_person(store, ANNE, 0, START, team_id=project_id)
    for distinct_id in DISTINCT_IDS:
        await add_mapping(store, distinct_id, 0, ANNE, START, team_id=project_id)
    for session_id in SESSION_IDS:
        await add(store, START, team_id=project_id, properties=json.dumps({"$session_id": session_id}))
    s3 = S3Harness("S3", stack)
    async with runtime.sessions.begin() as session:
        project = await session.get_one(Project, project_id)
        config = {**stack.s3, "prefix": s3.prefix, **config}
        made = await make_export(
            session,
            runtime.cipher,
            project,
            destination_type="S3",
            config=config,
            model=model,
            hogql_query=hogql_query,
        )
        await ClaimRepository(session).add(made, [WINDOW], timedelta(0))
    return Exported(runtime, s3, project_id, made.id, await execute_one(runtime), [])


async def verify(api: httpx.AsyncClient, exported: Exported) -> dict[str, Any]:
    answer = await api.get(f"{exported.path}/verify/")
    assert answer.status_code == 200, answer.text
    document: dict[str, Any] = answer.json()
    return document


def digits(texts: Sequence[str]) -> str:
    """As the API's documentation says."""
    total = sum(int.from_bytes(hashlib.md5(text.encode()).digest()[:8], "big") for text in texts)
    return f"{total % 2**64:016x}"


@pytest.mark.parametrize("config", [{}, {"file_format": "Parquet", "compression": "zstd"}])
@pytest.mark.parametrize(
    ("model", "identity", "values"),
    [("persons", "distinct_id", DISTINCT_IDS), ("sessions", "session_id", SESSION_IDS)],
)
async def test_what_was_exported_is_the_same_to_the_letter(
    api: httpx.AsyncClient, export: Any, model: str, identity: str, values: list[str], config: dict[str, Any]
) -> None:
    found = await verify(api, await export(model, **config))
    assert (found["matches"], found["identity"], found["differences"]) == (True, identity, [])
    assert found["source"] == {"rows": 3, "uuid_hash": digits(values)}
    assert (found["destination"]["rows"], found["destination"]["uuid_hash"]) == (3, digits(values))


async def test_a_distinct_id_in_another_case_is_another_row(api: httpx.AsyncClient, export: Any) -> None:
    done = await export("persons")
    [(key, data)] = (await done.s3.visible()).items()
    await done.put(key, data.replace(b'"USER"', b'"user"'))
    assert (await verify(api, done))["differences"][-1] == (
        "The rows differ: 3 of each, but not the same ones. The run selected persons as they stood when its interval "
        "ended, which never changes: unless versions of them have been deleted, retry the run."
    )


async def test_what_has_changed_since_is_no_difference_and_what_was_deleted_is(
    api: httpx.AsyncClient, export: Any, store: Connection
) -> None:
    done = await export("sessions")
    await add(store, START, team_id=done.project_id, properties='{"$session_id": "a"}', inserted_at=WINDOW.end)
    assert (await verify(api, done))["matches"] is True
    await store.execute("DELETE FROM event_store.events WHERE session_id = 'b'")
    [difference] = (await verify(api, done))["differences"]
    assert difference.startswith("The rows differ: 2 in the event store, 3 at the destination.")
    assert "unless events have been deleted" in difference


@pytest.mark.parametrize("config", [{}, {"file_format": "Parquet"}])
async def test_rows_of_a_select_list_are_counted_only(
    api: httpx.AsyncClient, export: Any, config: dict[str, Any]
) -> None:
    done = await export("events", "SELECT toInt(1) AS uuid, event FROM events", **config)
    found = await verify(api, done)
    assert (found["matches"], found["identity"]) == (True, None)
    assert found["source"] == {"rows": 3, "uuid_hash": None}
    assert (found["destination"]["rows"], found["destination"]["uuid_hash"]) == (3, None)


async def test_a_row_that_is_missing_of_a_select_list_is_a_difference(api: httpx.AsyncClient, export: Any) -> None:
    done = await export("events", "SELECT toInt(1) AS uuid, event FROM events")
    [(key, data)] = (await done.s3.visible()).items()
    await done.put(key, b"".join(data.splitlines(keepends=True)[1:]))
    difference = (await verify(api, done))["differences"][-1]
    assert difference.startswith("The rows differ: 3 in the event store, 2 at the destination.")


def test_rows_of_a_select_list_are_told_apart_by_nothing() -> None:
    query = EventQuery(1, "events", None, WINDOW.end, "timestamp", ())
    assert identity_of(query) == "uuid"
    field = Field("uuid", Column("event", Type.STRING))
    assert identity_of(EventQuery(1, "events", None, WINDOW.end, "timestamp", (), fields=[field])) is None


@pytest.mark.parametrize(
    ("file_format", "compression"), [("JSONLines", None), ("JSONLines", "gzip"), ("Parquet", None), ("Parquet", "zstd")]
)
def test_rows_are_counted_whatever_their_columns_are(tmp_path: Path, file_format: str, compression: str | None) -> None:
    fmt, path = FORMATS[file_format], tmp_path / "file"
    batch = pa.RecordBatch.from_pydict({"value": [1, None, 3], "uuid": [[1], [2], None]})
    encoder = fmt.open(batch.schema, compression)
    path.write_bytes(b"".join((encoder.encode(batch), encoder.finish())))
    assert [value for values in fmt.values(path, compression, None) for value in values] == [None] * 3
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(Unreadable):
        list(fmt.values(path, compression, None))
