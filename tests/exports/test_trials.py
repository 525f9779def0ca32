"""Connection tests: the contract's section 11."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from aiobotocore.session import get_session
from fastapi import FastAPI
from types_aiobotocore_s3 import S3Client

from app.embedded import Stack
from app.runtime import Runtime
from tests.http.callers import Tenant, add_tenant, open_client

STEPS = ["Check S3 bucket exists", "Check write access"]
PASSED = {"status": "Passed", "message": None}


def body(config: dict[str, Any], destination_type: str = "S3", **fields: Any) -> dict[str, Any]:
    return {
        "name": "Tried out",
        "interval": "hour",
        "destination": {"type": destination_type, "config": config},
        **fields,
    }


@asynccontextmanager
async def open_bucket(config: dict[str, Any]) -> AsyncIterator[S3Client]:
    async with get_session().create_client(
        "s3",
        region_name=config["region"],
        endpoint_url=config["endpoint_url"],
        aws_access_key_id=config["aws_access_key_id"],
        aws_secret_access_key=config["aws_secret_access_key"],
    ) as client:
        yield client


@pytest.fixture
def config(stack: Stack) -> dict[str, Any]:
    return {**stack.s3, "prefix": "trials"}


async def run_new(api: httpx.AsyncClient, config: dict[str, Any], **fields: Any) -> dict[str, Any]:
    answer = await api.post("/batch_exports/run_test_step_new/", json=body(config, **fields))
    assert answer.status_code == 200, answer.text
    result: dict[str, Any] = answer.json()
    return result


@pytest.mark.parametrize(
    ("destination", "names"),
    [
        ("S3", STEPS),
        ("S3Compatible", STEPS),
        ("AwsS3", ["Ensure we can assume provided AWS role", *STEPS]),
        (
            "BigQuery",
            [
                "Impersonate BigQuery service account",
                "Verify BigQuery service account ownership",
                "Verify BigQuery project",
                "Verify BigQuery dataset",
                "Verify BigQuery table",
            ],
        ),
        (
            "Snowflake",
            [
                "Establish connection to Snowflake",
                "Verify Snowflake warehouse",
                "Verify Snowflake database",
                "Verify Snowflake schema",
            ],
        ),
        (
            "Databricks",
            [
                "Establish connection to Databricks",
                "Verify Databricks catalog",
                "Verify Databricks schema",
                "Verify Databricks table",
                "Verify permissions to create a Databricks volume",
            ],
        ),
        ("AzureBlob", ["Check Azure Blob container exists"]),
    ],
)
async def test_steps_are_listed_in_order(api: httpx.AsyncClient, destination: str, names: list[str]) -> None:
    answer = await api.get("/batch_exports/test", params={"destination": destination})
    assert answer.status_code == 200
    steps = answer.json()["steps"]
    assert [step["name"] for step in steps] == names
    assert all(step["description"] and step["result"] is None for step in steps)


@pytest.mark.parametrize(
    "destination", ["Postgres", "Redshift", "HTTP", "NoOp", "Workflows", "FileDownload", "Nothing"]
)
async def test_types_without_a_test_have_no_body(api: httpx.AsyncClient, destination: str) -> None:
    answer = await api.get("/batch_exports/test/", params={"destination": destination})
    assert (answer.status_code, answer.content) == (404, b"")


async def test_no_type_is_a_bad_request_without_a_body(api: httpx.AsyncClient) -> None:
    answer = await api.get("/batch_exports/test/")
    assert (answer.status_code, answer.content) == (400, b"")


async def test_every_step_passes_where_everything_is_right(api: httpx.AsyncClient, config: dict[str, Any]) -> None:
    for number, name in enumerate(STEPS):
        ran = await run_new(api, config, step=number)
        assert (ran["name"], ran["result"]) == (name, PASSED)
        assert ran["description"]
    async with open_bucket(config) as s3:
        listed = await s3.list_objects_v2(Bucket=config["bucket_name"], Prefix="trials")
        assert listed["KeyCount"] == 0
        uploads = await s3.list_multipart_uploads(Bucket=config["bucket_name"])
        assert [one for one in uploads.get("Uploads", []) if one["Key"].startswith("trials")] == []
    assert (await api.get("/batch_exports/")).json()["count"] == 0


async def test_a_bucket_that_is_not_there_is_a_failed_step(api: httpx.AsyncClient, config: dict[str, Any]) -> None:
    ran = await run_new(api, {**config, "bucket_name": "missing"})
    assert ran["result"] == {
        "status": "Failed",
        "message": "Bucket 'missing' does not exist or we don't have permissions to use it",
    }


async def test_wrong_credentials_are_a_failed_step_without_a_secret(
    api: httpx.AsyncClient, config: dict[str, Any]
) -> None:
    wrong = {**config, "aws_access_key_id": "not-the-key", "aws_secret_access_key": "hunter2"}
    for number in range(len(STEPS)):
        ran = await run_new(api, wrong, step=number)
        assert ran["result"]["status"] == "Failed"
        assert "hunter2" not in str(ran)
        assert config["bucket_name"] in ran["result"]["message"]


async def test_a_body_is_checked_like_a_create_before_anything_runs(
    api: httpx.AsyncClient, config: dict[str, Any]
) -> None:
    answer = await api.post("/batch_exports/run_test_step_new/", json=body({**config, "compression": "zip"}))
    assert (answer.status_code, answer.json()["attr"]) == (400, "destination")
    answer = await api.post("/batch_exports/run_test_step_new/", json=body(config, offset_hour=3))
    assert (answer.status_code, answer.json()["attr"]) == (400, "offset_hour")


@pytest.mark.parametrize(("step", "code"), [(7, "invalid_input"), (-1, "invalid_input"), ("one", "invalid_input")])
async def test_a_step_that_is_none_is_refused(
    api: httpx.AsyncClient, config: dict[str, Any], step: Any, code: str
) -> None:
    answer = await api.post("/batch_exports/run_test_step_new/", json=body(config, step=step))
    assert (answer.status_code, answer.json()["code"], answer.json()["attr"]) == (400, code, "step")


async def test_a_type_without_steps_says_so(api: httpx.AsyncClient) -> None:
    answer = await api.post("/batch_exports/run_test_step_new/", json=body({}, "NoOp"))
    assert (answer.status_code, answer.json()["detail"]) == (400, "NoOp destinations have no test steps.")


async def test_what_is_stored_is_laid_under_what_is_sent(api: httpx.AsyncClient, config: dict[str, Any]) -> None:
    created = await api.post("/batch_exports/", json=body(config))
    url = f"/batch_exports/{created.json()['id']}/run_test_step/"
    answer = await api.post(url, json=body({"prefix": "elsewhere"}, step=1))
    assert answer.json()["result"] == PASSED
    answer = await api.post(url, json=body({"bucket_name": "missing"}))
    assert answer.json()["result"]["status"] == "Failed"
    answer = await api.post(url, json=body({}, "NoOp"))
    assert answer.json() == {
        "type": "validation_error",
        "code": "invalid_input",
        "detail": "Cannot change destination type from 'S3' to 'NoOp'. Delete this batch export and create a new one "
        "with the new destination type.",
        "attr": "destination",
    }
    after = (await api.get(f"/batch_exports/{created.json()['id']}/")).json()
    assert after["destination"]["config"] == created.json()["destination"]["config"]


async def test_another_projects_export_is_not_found(
    api: httpx.AsyncClient, app: FastAPI, runtime: Runtime, tenant: Tenant, config: dict[str, Any]
) -> None:
    created = await api.post("/batch_exports/", json=body(config))
    other = await add_tenant(runtime, organization_id=tenant.organization_id)
    async with open_client(app, other) as client:
        answer = await client.post(f"/batch_exports/{created.json()['id']}/run_test_step/", json=body({}))
    assert answer.status_code == 404


async def test_a_step_that_waits_holds_no_connection_to_the_database(
    api: httpx.AsyncClient, runtime: Runtime, config: dict[str, Any]
) -> None:
    came = asyncio.Event()
    release = asyncio.Event()

    async def silent(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        came.set()
        await release.wait()
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        waiting = asyncio.create_task(run_new(api, {**config, "endpoint_url": f"http://127.0.0.1:{port}"}))
        await came.wait()
        assert runtime.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        waiting.cancel()
        release.set()
        await asyncio.gather(waiting, return_exceptions=True)
