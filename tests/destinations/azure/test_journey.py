"""From the API to the container and back: an export with an integration, made by a worker's own executor, verified."""

from datetime import timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import text

from app.models import Export
from app.runs.claims import ClaimRepository
from app.runtime import Runtime
from tests.destinations.azure.harness import AzureHarness
from tests.destinations.rows import read_file
from tests.exports.linking import body
from tests.factories import add_event
from tests.http.callers import Tenant, created, invalid, refused
from tests.verification.exported import EVENTS, PROPERTIES, START, WINDOW, execute_one


@pytest.mark.parametrize(
    ("config", "objects"),
    [
        ({"file_format": "Parquet", "compression": "zstd"}, 1),
        # Two files, and the manifest that more than one has.
        ({"file_format": "JSONLines", "max_file_size_mb": 1}, 3),
    ],
)
async def test_what_an_export_has_written_is_recorded_and_verified(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, azure: AzureHarness, config: dict[str, Any], objects: int
) -> None:
    sensitive = {"connection_string": azure.connection_string}
    answer = await api.post("/integrations/", json={"kind": "azure-blob", "sensitive_config": sensitive})
    assert answer.status_code == 201, answer.text
    place = {"container_name": "events", "prefix": azure.prefix, **config}
    export = await created(api, body("AzureBlob", place, answer.json()["id"]))
    tried = await api.post(
        f"/batch_exports/{export['id']}/run_test_step/", json=body("AzureBlob", place, answer.json()["id"])
    )
    assert tried.json()["result"] == {"status": "Passed", "message": None}

    async with runtime.sessions.begin() as session:
        for number in range(EVENTS):
            await add_event(session, tenant.project_id, START + timedelta(minutes=number), properties=PROPERTIES)
        row = await session.get_one(Export, export["id"])
        await ClaimRepository(session).add(row, [WINDOW], timedelta(0))
    run_id = await execute_one(runtime)

    path = f"/batch_exports/{export['id']}/runs/{run_id}/"
    run = (await api.get(path)).json()
    assert (run["status"], run["latest_error"], run["records_completed"]) == ("Completed", None, EVENTS)
    there = await azure.visible()
    assert len(there) == objects
    files = (await api.get(f"{path}files/")).json()
    host = azure.azurite.endpoint.split("/")[2]
    assert files["location"] == f"azure://exports.{host}/events"
    assert {file["key"] for file in files["results"]} == {key for key in there if not key.endswith("_manifest.json")}
    verified = (await api.get(f"{path}verify/")).json()
    assert (verified["matches"], verified["differences"]) == (True, [])
    assert verified["destination"]["rows"] == EVENTS
    if config["file_format"] == "Parquet":
        [data] = there.values()
        rows = read_file(data, "Parquet", None)
        assert len(rows) == EVENTS
        assert list(rows[0])[-1] == "azure_blob_ingested_timestamp"
    assert azure.azurite.key not in str([run, files, verified, export, answer.json()])


async def test_a_run_that_the_store_refuses_is_completed_once_that_is_mended(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, azure: AzureHarness
) -> None:
    wrong = azure.connection_string.replace(azure.azurite.key, "c2VzYW1lMDEyMzQ1Njc4OQ==")
    integration: dict[str, Any] = {"kind": "azure-blob", "sensitive_config": {"connection_string": wrong}}
    made = (await api.post("/integrations/", json=integration)).json()
    export = await created(api, body("AzureBlob", {"container_name": "events", "prefix": azure.prefix}, made["id"]))
    async with runtime.sessions.begin() as session:
        await add_event(session, tenant.project_id, START)
        row = await session.get_one(Export, export["id"])
        await ClaimRepository(session).add(row, [WINDOW], timedelta(0))
    run_id = await execute_one(runtime)
    path = f"/batch_exports/{export['id']}/runs/{run_id}/"
    refusal = (await api.get(path)).json()["latest_error"]
    assert refusal.startswith(f"Misconfigured: container 'events' at {azure.azurite.endpoint} refused access")
    assert await azure.visible() == {}

    integration["sensitive_config"] = {"connection_string": azure.connection_string}
    right = (await api.post("/integrations/", json=integration)).json()["id"]
    answer = await api.patch(f"/batch_exports/{export['id']}/", json={"destination": {"integration": right}})
    assert answer.status_code == 200, answer.text
    async with runtime.sessions.begin() as session:
        # Its next attempt waits for a moment otherwise.
        await session.execute(text("UPDATE runs SET not_before = not_before - interval '1 day'"))
    assert await execute_one(runtime) == run_id
    run = (await api.get(path)).json()
    assert (run["status"], run["latest_error"]) == ("Completed", None)
    assert len(await azure.visible()) == 1


async def test_a_connection_string_that_cannot_be_used_is_not_kept(api: httpx.AsyncClient) -> None:
    sent = {"kind": "azure-blob", "sensitive_config": {"connection_string": "AccountName=hush;AccountKey=hush!"}}
    answer = await api.post("/integrations/", json=sent)
    detail = "It cannot be used: 'AccountKey' is not base64, so it was not copied whole."
    assert refused(answer) == (400, invalid(detail, "sensitive_config__connection_string"))
