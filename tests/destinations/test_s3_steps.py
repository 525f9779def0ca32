"""Connection tests of the S3 family (the contract's section 11)."""

from typing import Any

import pytest

from app.destinations import DESTINATIONS
from app.destinations.proposal import Linked
from app.destinations.s3.steps import ASSUME_ROLE, BUCKET_EXISTS, WRITE_ACCESS
from app.destinations.steps import Step, StepResult, Trial, run_step
from app.embedded import Stack
from app.embedded.state import LOOPBACK, free_port
from app.network import Network
from tests.destinations.harness import NETWORK, S3Harness
from tests.destinations.rows import START
from tests.destinations.s3_proxy import Reply, Request, S3Proxy, Verdict, error

pytestmark = pytest.mark.usefixtures("no_backoff")

PASSED = StepResult("Passed")
NOT_CONFIGURED = StepResult("Failed", "The test step cannot run as it's not configured.")
SECRET = "sesame0123456789"


@pytest.fixture
def config(s3: S3Harness, stack: Stack) -> dict[str, Any]:
    return {**stack.s3, "prefix": f"{s3.prefix}/{{year}}"}


async def run(step: Step, config: dict[str, Any], integration: Linked | None = None) -> StepResult:
    result = await run_step(step, Trial(config, NETWORK, START, integration))
    assert result.message is None or SECRET not in result.message
    return result


def role(**secrets: Any) -> Linked:
    return Linked(1, "aws-s3", {"aws_role_arn": "arn:aws:iam::1:role/r"}, secrets)


async def assert_nothing_left(s3: S3Harness) -> None:
    assert await s3.visible() == {}
    assert await s3.unfinished() == []


def deny(*operations: str) -> Any:
    async def judge(request: Request) -> Verdict:
        return error(403, "AccessDenied") if request.operation in operations else None

    return judge


async def test_a_bucket_that_is_there(config: dict[str, Any]) -> None:
    assert await run(BUCKET_EXISTS, config) == PASSED


async def test_a_bucket_that_is_not_there(config: dict[str, Any]) -> None:
    assert await run(BUCKET_EXISTS, {**config, "bucket_name": "nowhere"}) == StepResult(
        "Failed", "Bucket 'nowhere' does not exist or we don't have permissions to use it"
    )


async def test_a_bucket_that_may_not_be_used(config: dict[str, Any], proxy: S3Proxy) -> None:
    proxy.judge = deny("HeadBucket")
    result = await run(BUCKET_EXISTS, {**config, "endpoint_url": proxy.url, "aws_secret_access_key": SECRET})
    assert result.status == "Failed"
    assert str(result.message).startswith(
        "We couldn't access bucket 'exports'. Check the provided credentials, endpoint, "
    )


@pytest.mark.parametrize("step", [BUCKET_EXISTS, WRITE_ACCESS], ids=lambda step: step.name)
async def test_an_endpoint_where_nothing_listens(config: dict[str, Any], step: Step) -> None:
    endpoint = f"http://{LOOPBACK}:{free_port()}"
    result = await run(step, {**config, "endpoint_url": endpoint, "aws_secret_access_key": SECRET})
    assert result == StepResult(
        "Failed", f"bucket 'exports' at {endpoint} cannot be reached; check endpoint, region and network"
    )


@pytest.mark.parametrize("step", [BUCKET_EXISTS, WRITE_ACCESS], ids=lambda step: step.name)
async def test_an_endpoint_that_is_not_allowed(config: dict[str, Any], step: Step) -> None:
    result = await run_step(step, Trial(config, Network(), START))
    assert result.status == "Failed"
    assert "is at an address that this service may not connect to" in str(result.message)


@pytest.mark.parametrize("step", [BUCKET_EXISTS, WRITE_ACCESS], ids=lambda step: step.name)
@pytest.mark.parametrize("missing", ["bucket_name", "region", "prefix", "aws_access_key_id", "aws_secret_access_key"])
async def test_without_a_setting_no_step_runs(config: dict[str, Any], step: Step, missing: str) -> None:
    assert await run(step, {**config, missing: ""}) == NOT_CONFIGURED
    assert await run(step, {key: value for key, value in config.items() if key != missing}) == NOT_CONFIGURED


async def test_everything_an_export_does_is_tried_and_nothing_stays(
    config: dict[str, Any], s3: S3Harness, proxy: S3Proxy
) -> None:
    assert await run(WRITE_ACCESS, {**config, "endpoint_url": proxy.url}) == PASSED
    assert set(proxy.operations) >= {
        "PutObject",
        "GetObject",
        "CreateMultipartUpload",
        "UploadPart",
        "CompleteMultipartUpload",
        "AbortMultipartUpload",
        "DeleteObject",
    }
    await assert_nothing_left(s3)


@pytest.mark.parametrize(
    ("operation", "verb", "permission"),
    [
        ("PutObject", "write", "s3:PutObject"),
        ("GetObject", "read", "s3:GetObject"),
        ("ListObjectsV2", "list", "s3:ListBucket"),
        ("CreateMultipartUpload", "send in parts", "s3:PutObject"),
        ("UploadPart", "send in parts", "s3:PutObject"),
        ("CompleteMultipartUpload", "send in parts", "s3:PutObject"),
        ("AbortMultipartUpload", "abort an upload", "s3:AbortMultipartUpload"),
        ("DeleteObject", "delete", "s3:DeleteObject"),
    ],
)
async def test_the_permission_that_is_missing_is_named(
    config: dict[str, Any], s3: S3Harness, proxy: S3Proxy, operation: str, verb: str, permission: str
) -> None:
    proxy.judge = deny(operation)
    assert await run(WRITE_ACCESS, {**config, "endpoint_url": proxy.url}) == StepResult(
        "Failed",
        f"The credentials may not {verb} under prefix '{config['prefix']}': permission {permission} is missing, or a "
        "policy of the bucket denies it",
    )
    await assert_nothing_left(s3)


@pytest.mark.parametrize("reply", [Reply(200, "<html>Welcome</html>"), error(500, "InternalError")])
async def test_trouble_is_told_as_a_run_tells_it(config: dict[str, Any], proxy: S3Proxy, reply: Verdict) -> None:
    async def judge(_: Request) -> Verdict:
        return reply

    proxy.judge = judge
    result = await run(WRITE_ACCESS, {**config, "endpoint_url": proxy.url, "aws_secret_access_key": SECRET})
    assert result.status == "Failed"
    assert f"bucket 'exports' at {proxy.url}" in str(result.message)


async def test_a_role_is_assumed_only_where_there_are_no_keys(config: dict[str, Any]) -> None:
    bare = {key: value for key, value in config.items() if not key.startswith("aws_")}
    for step in (ASSUME_ROLE, BUCKET_EXISTS, WRITE_ACCESS):
        result = await run(step, bare, role())
        assert result.status == "Failed"
        assert "this service cannot assume AWS roles yet: it has no AWS identity of its own" in str(result.message)
    keys = {"aws_access_key_id": config["aws_access_key_id"], "aws_secret_access_key": SECRET}
    assert (await run(ASSUME_ROLE, bare, role(**keys))).status == "Skipped"
    assert (await run(ASSUME_ROLE, config)).status == "Skipped"
    assert await run(ASSUME_ROLE, bare) == NOT_CONFIGURED


async def test_an_integration_stands_over_the_config(config: dict[str, Any], stack: Stack) -> None:
    keys = {key: stack.s3[key] for key in ("aws_access_key_id", "aws_secret_access_key")}
    linked = Linked(1, "s3-compatible", {"endpoint_url": stack.s3["endpoint_url"]}, keys)
    stale = {**config, "endpoint_url": "http://unknown.example.com", **dict.fromkeys(keys, "stale")}
    assert await run(BUCKET_EXISTS, stale, linked) == PASSED


async def test_an_unexpected_error_is_told_by_its_class_alone() -> None:
    async def fail(_: Trial) -> StepResult:
        raise ZeroDivisionError(SECRET)

    assert await run(Step("s", "d", fail), {}) == StepResult(
        "Failed", "The test step failed with an unknown error: ZeroDivisionError"
    )


NAMES = {
    "S3": ["Check S3 bucket exists", "Check write access"],
    "AwsS3": ["Ensure we can assume provided AWS role", "Check S3 bucket exists", "Check write access"],
    "S3Compatible": ["Check S3 bucket exists", "Check write access"],
    "BigQuery": [
        "Impersonate BigQuery service account",
        "Verify BigQuery service account ownership",
        "Verify BigQuery project",
        "Verify BigQuery dataset",
        "Verify BigQuery table",
    ],
    "Snowflake": [
        "Establish connection to Snowflake",
        "Verify Snowflake warehouse",
        "Verify Snowflake database",
        "Verify Snowflake schema",
    ],
    "Databricks": [
        "Establish connection to Databricks",
        "Verify Databricks catalog",
        "Verify Databricks schema",
        "Verify Databricks table",
        "Verify permissions to create a Databricks volume",
    ],
    "AzureBlob": ["Check Azure Blob container exists"],
}


@pytest.mark.parametrize("name", DESTINATIONS)
async def test_every_type_declares_the_steps_it_has(name: str) -> None:
    steps = DESTINATIONS[name].steps
    assert [step.name for step in steps] == NAMES.get(name, [])
    assert all(step.description for step in steps)
    if not DESTINATIONS[name].delivers:
        for step in steps:
            assert await run(step, {}) == StepResult("Failed", "this version cannot run this step yet")
