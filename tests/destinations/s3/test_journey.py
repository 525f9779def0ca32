"""From the API to the bucket and back in the session of a role: the trial, the run and its verification."""

from collections.abc import AsyncIterator
from datetime import timedelta

import httpx
import pytest
from pydantic import SecretStr

from app.embedded import Stack
from app.models import Export
from app.runs.claims import ClaimRepository
from app.runtime import Runtime
from app.settings import Settings
from tests.destinations.harness import S3Harness
from tests.destinations.s3_proxy import S3Proxy, open_proxy
from tests.exports.linking import body
from tests.factories import add_event
from tests.http.callers import Tenant, created
from tests.verification.exported import EVENTS, PROPERTIES, START, WINDOW, execute_one

ROLE = "arn:aws:iam::123456789012:role/exports"


@pytest.fixture
async def proxy(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[S3Proxy]:
    async with open_proxy(stack.s3["endpoint_url"]) as opened:
        # The type has Amazon's own address; the SDK lets a host say otherwise.
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", opened.url)
        yield opened


@pytest.fixture
def settings(settings: Settings, stack: Stack, proxy: S3Proxy) -> Settings:
    own = {key: SecretStr(stack.s3[key]) for key in ("aws_access_key_id", "aws_secret_access_key")}
    return settings.model_copy(update={**own, "aws_sts_endpoint": proxy.url})


async def test_an_export_by_role_is_tried_made_and_verified(
    api: httpx.AsyncClient, runtime: Runtime, tenant: Tenant, s3: S3Harness, proxy: S3Proxy
) -> None:
    integration = {"kind": "aws-s3", "config": {"name": "By role", "aws_role_arn": ROLE}}
    made = (await api.post("/integrations/", json=integration)).json()
    place = {"bucket_name": s3.bucket, "region": "us-east-1", "prefix": s3.prefix, "file_format": "Parquet"}
    export = await created(api, body("AwsS3", place, made["id"]))
    for step in range(3):
        sent = body("AwsS3", place, made["id"], step=step)
        tried = await api.post(f"/batch_exports/{export['id']}/run_test_step/", json=sent)
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
    assert (await api.get(f"{path}verify/")).json()["matches"] is True
    assumed = [request for request in proxy.seen if request.operation == "AssumeRole"]
    # Three steps, the run, its verification: each with the id that the integration shows.
    assert [request.form["ExternalId"] for request in assumed] == [made["config"]["aws_external_id"]] * 5
    assert f"batch-exports-{run_id}-1" in {request.form["RoleSessionName"] for request in assumed}
    own = runtime.settings.aws_access_key_id
    assert own is not None
    others = {request.signed_by for request in proxy.seen if request.operation != "AssumeRole"}
    assert own.get_secret_value() not in others
    assert own.get_secret_value() not in str([export, run, made])
