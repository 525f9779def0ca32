"""Exports to Azure, over HTTP, to nowhere, to files and to workflows (the contract's sections 10.2, 10.8 to 10.10)."""

from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.models import Project
from app.runtime import Runtime
from tests.exports.linking import KEYS, add_integration, assert_refused, body
from tests.factories import make_export
from tests.http.callers import Tenant, created, error, invalid, refused

URL = "https://us.i.posthog.com/batch/"

SAS = "AccountName=exports;SharedAccessSignature=sig=the-secret-key"


async def azure(runtime: Runtime, tenant: Tenant) -> int:
    return await add_integration(
        runtime,
        tenant.project_id,
        "azure-blob",
        {},
        {"connection_string": SAS},
    )


async def test_azure_with_an_integration(api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant) -> None:
    number = await azure(runtime, tenant)
    export = await created(api, body("AzureBlob", {"container_name": "c", "prefix": ""}, number))
    config = {"container_name": "c", "prefix": "", "legacy_parquet_extension": False}
    assert export["destination"] == {"type": "AzureBlob", "config": config, "integration": number}
    answer = await api.patch(f"/batch_exports/{export['id']}/", json={"destination": {"integration": None}})
    required = "Integration is required for Azure Blob batch exports"
    assert refused(answer) == (400, invalid(required, "destination"))


async def test_azure_and_what_it_refuses(api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant) -> None:
    number = await azure(runtime, tenant)
    other = await add_integration(runtime, tenant.project_id, "aws-s3", {}, KEYS)
    empty = await add_integration(runtime, tenant.project_id, "azure-blob")
    required = "Integration is required for Azure Blob batch exports"
    await assert_refused(api, body("AzureBlob", {"container_name": "c"}), required)
    await assert_refused(
        api, body("AzureBlob", {"container_name": "c"}, other), "Integration is not an Azure Blob integration."
    )
    missing = "Azure Blob integration is not valid: 'connection_string' missing"
    await assert_refused(api, body("AzureBlob", {"container_name": "c"}, empty), missing)
    codec = "Compression lz4 is not supported for file format JSONLines. Supported compressions are ['gzip', 'brotli']"
    await assert_refused(api, body("AzureBlob", {"container_name": "c", "compression": "lz4"}, number), codec)


@pytest.mark.parametrize("url", [URL, "https://eu.i.posthog.com/batch/"])
async def test_http_to_an_allowed_url(api: httpx.AsyncClient, url: str) -> None:
    export = await created(api, body("HTTP", {"url": url, "token": "the-secret-key"}))
    assert export["destination"] == {"type": "HTTP", "config": {"url": url}, "integration": None}


@pytest.mark.parametrize(
    "url", ["https://us.i.posthog.com/batch", "http://us.i.posthog.com/batch/", "https://a.b/", ""]
)
async def test_http_to_another_url(api: httpx.AsyncClient, url: str) -> None:
    await assert_refused(api, body("HTTP", {"url": url, "token": "t"}), f"Invalid destination URL: {url}")


@pytest.mark.parametrize("missing", ["url", "token"])
async def test_http_wants_both_keys(api: httpx.AsyncClient, missing: str) -> None:
    sent = body("HTTP", {"url": URL, "token": "t", missing: ...})
    await assert_refused(
        api, sent, f"Configuration missing required field: '{missing}'", "destination__non_field_errors"
    )


@pytest.mark.parametrize("model", ["persons", "sessions"])
async def test_http_takes_events_only(api: httpx.AsyncClient, model: str) -> None:
    answer = await api.post("/batch_exports/", json=body("HTTP", {"url": URL, "token": "t"}, model=model))
    assert refused(answer) == (400, invalid("HTTP batch exports only support the events model"))


async def test_no_op(api: httpx.AsyncClient) -> None:
    export = await created(api, body("NoOp", {"arg": "x", "exclude_events": ["a"], "include_events": None}))
    assert export["destination"]["config"] == {"arg": "x", "exclude_events": ["a"], "include_events": None}


async def test_file_downloads(api: httpx.AsyncClient) -> None:
    export = await created(api, body("FileDownload", {"file_format": "Parquet", "compression": "zstd"}))
    assert export["destination"]["config"]["compression"] == "zstd"
    unknown = "File format CSV is not supported. Supported file formats are ['Parquet', 'JSONLines']"
    await api.delete(f"/batch_exports/{export['id']}/")
    await assert_refused(api, body("FileDownload", {"file_format": "CSV"}), unknown)


@pytest.mark.parametrize("config", [{}, {"hog_function_id": "x"}, {"anything": 1}])
async def test_workflows_are_refused(api: httpx.AsyncClient, config: dict[str, Any]) -> None:
    answer = await api.post("/batch_exports/", json=body("Workflows", config, name=""))
    detail = "Backfilling Workflows is not enabled for this team."
    assert refused(answer) == (403, error("authentication_error", "permission_denied", detail))


async def test_workflows_are_in_no_list_but_can_be_retrieved(
    app: FastAPI, api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant
) -> None:
    async with runtime.sessions.begin() as session:
        project = await session.get_one(Project, tenant.project_id)
        export = await make_export(session, runtime.cipher, project, destination_type="Workflows")
    assert (await api.get("/batch_exports/")).json()["results"] == []
    answer = await api.get(f"/batch_exports/{export.id}/")
    assert answer.json()["destination"] == {"type": "Workflows", "config": {}, "integration": None}
