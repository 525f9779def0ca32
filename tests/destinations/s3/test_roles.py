"""Roles: assumed as AWS documents it, renewed while a run lasts, and told apart from trouble with the store."""

import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from app.destinations.objects import upload
from app.destinations.proposal import Linked
from app.destinations.s3 import AwsS3
from app.destinations.s3.roles import Identity, external_id, shared_session
from app.destinations.s3.steps import ASSUME_ROLE, BUCKET_EXISTS, WRITE_ACCESS
from app.destinations.steps import StepResult, Trial, run_step
from app.embedded import Stack
from app.errors import Misconfigured, RunError, Throttled, Transient, Unsupported
from tests.destinations.harness import NETWORK, RUN_ID, S3Harness, make_target
from tests.destinations.rows import START, make_tape, read_file
from tests.destinations.s3_proxy import Fate, Reply, Request, S3Proxy, Verdict, error, let_through
from tests.destinations.trouble import failing

pytestmark = pytest.mark.usefixtures("no_backoff")

ROLE = "arn:aws:iam::123456789012:role/exports/writer"
ORGANIZATION = UUID(int=5)
EXTERNAL_ID = external_id(ORGANIZATION, 1)


@pytest.fixture
def identity(stack: Stack, proxy: S3Proxy) -> Identity:
    return Identity(stack.s3["aws_access_key_id"], stack.s3["aws_secret_access_key"], endpoint_url=proxy.url)


def linked(identity: Identity | None, **config: Any) -> Linked:
    """An integration as it is opened for use."""
    given = {"name": "r", "aws_role_arn": ROLE, "aws_external_id": EXTERNAL_ID, "aws_identity": identity, **config}
    return Linked(1, "aws-s3", given, {})


def destination(s3: S3Harness, proxy: S3Proxy, identity: Identity, **config: Any) -> AwsS3:
    """At the proxy instead of Amazon's own address."""
    document = {"bucket_name": s3.bucket, "region": "eu-west-1", "prefix": s3.prefix, **config}
    made = AwsS3.of(AwsS3.settings(document, linked(identity)), NETWORK)
    made.connection = replace(made.connection, endpoint_url=proxy.url)
    return made


def sts_error(status: int, code: str) -> Reply:
    answer = error(status, code)
    return replace(answer, body=f"<ErrorResponse>{answer.body}</ErrorResponse>")


def soon_over(request: Request, answer: bytes) -> bytes:
    """Sessions that end in a minute: the SDK renews each before it is used again."""
    if request.operation != "AssumeRole":
        return answer
    end = f"{datetime.now(UTC) + timedelta(minutes=1):%Y-%m-%dT%H:%M:%S}".encode()
    altered, count = re.subn(rb"(?<=<Expiration>)\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", end, answer)
    assert count == 1
    return altered


async def test_an_export_is_written_in_a_session_of_the_role(s3: S3Harness, proxy: S3Proxy, identity: Identity) -> None:
    tape = make_tape()
    made = destination(s3, proxy, identity)
    await made.write(tape.play(), make_target(made))
    [data] = (await s3.visible()).values()
    assert read_file(data, "JSONLines", None) == tape.rows
    assert proxy.operations == ["AssumeRole", "PutObject", "HeadObject"]
    assumed, *requests = proxy.seen
    assert assumed.form == {
        "Action": "AssumeRole",
        "Version": "2011-06-15",
        "RoleArn": ROLE,
        "ExternalId": EXTERNAL_ID,
        "RoleSessionName": f"batch-exports-{RUN_ID}-1",
        "DurationSeconds": "3600",
    }
    # The limits of the API's documentation.
    assert re.fullmatch(r"[\w+=,.@-]{2,64}", assumed.form["RoleSessionName"], re.ASCII)
    assert re.fullmatch(r"[\w+=,.@:/-]{2,1224}", assumed.form["ExternalId"], re.ASCII)
    assert assumed.signed_by == identity.access_key
    assert {request.signed_by for request in requests}.isdisjoint({identity.access_key})
    assert all(request.headers["x-amz-security-token"] for request in requests)


async def test_a_run_that_outlives_its_session_goes_on_in_new_ones(
    s3: S3Harness, proxy: S3Proxy, identity: Identity
) -> None:
    proxy.alter = soon_over
    tape = make_tape()
    made = destination(s3, proxy, identity, max_file_size_mb=1)
    await made.write(tape.play(), make_target(made, max_file_bytes=8000))
    files = await s3.visible()
    rows = [row for key, data in files.items() if key.endswith(".jsonl") for row in read_file(data, "JSONLines", None)]
    assert len(rows) == len(tape.rows)
    sent = [request for request in proxy.seen if request.operation in ("UploadPart", "PutObject")]
    assert len({request.signed_by for request in sent}) == len(sent) > 3
    assert {request.form["RoleSessionName"] for request in proxy.seen if request.operation == "AssumeRole"} == {
        f"batch-exports-{RUN_ID}-1"
    }


REFUSED: Mapping[str, tuple[Verdict, type[RunError], str]] = {
    "the trust policy": (sts_error(403, "AccessDenied"), Misconfigured, f"the external id '{EXTERNAL_ID}'"),
    "no role": (sts_error(400, "ValidationError"), Misconfigured, f"'{ROLE}' is not the ARN of a role"),
    "an expired identity": (
        sts_error(403, "ExpiredToken"),
        Misconfigured,
        "the AWS identity of this service has expired",
    ),
    "an unknown identity": (sts_error(403, "InvalidClientTokenId"), Misconfigured, "is not known to AWS"),
    "another secret": (sts_error(403, "SignatureDoesNotMatch"), Misconfigured, "has another secret access key"),
    "a region": (sts_error(403, "RegionDisabledException"), Misconfigured, "is not switched on in its region"),
    "anything else": (sts_error(400, "PackedPolicyTooLarge"), Misconfigured, f"refused to assume role '{ROLE}'"),
    "too many": (sts_error(400, "Throttling"), Throttled, "AWS STS asks to slow down"),
    "an error of its own": (sts_error(500, "InternalFailure"), Transient, "AWS STS failed to answer"),
    "a gateway": (Reply(503, "<html>"), Transient, "AWS STS failed to answer"),
    "silence": (Fate.DROP_REQUEST, Transient, "AWS STS cannot be reached"),
    "another server": (
        Reply(200, "<html><body>Welcome</body></html>"),
        Misconfigured,
        "BATCH_EXPORTS_AWS_STS_ENDPOINT",
    ),
}


@pytest.mark.parametrize("trouble", REFUSED)
async def test_a_role_that_cannot_be_assumed_is_told_from_trouble_with_the_store(
    s3: S3Harness, proxy: S3Proxy, identity: Identity, trouble: str
) -> None:
    verdict, expected, words = REFUSED[trouble]
    proxy.judge = failing("AssumeRole", verdict)
    tape = make_tape()
    made = destination(s3, proxy, identity)
    with pytest.raises(RunError, match=re.escape(words)) as raised:
        await made.write(tape.play(), make_target(made))
    assert type(raised.value) is expected
    assert not re.search("hush|AKIA|bucket", str(raised.value))
    assert str(identity.access_key) not in str(raised.value)
    assert set(proxy.operations) == {"AssumeRole"}
    assert not tape.open


async def test_trouble_that_passes_is_not_noticed(s3: S3Harness, proxy: S3Proxy, identity: Identity) -> None:
    proxy.judge = failing("AssumeRole", sts_error(500, "InternalFailure"), times=2)
    made = destination(s3, proxy, identity)
    assert (await made.write(make_tape().play(), make_target(made))).rows > 0


@pytest.mark.parametrize("revoked", ["the role", "the session"])
async def test_what_is_revoked_in_the_middle_of_a_run_ends_it_and_once_mended_the_next_is_whole(
    s3: S3Harness, proxy: S3Proxy, identity: Identity, monkeypatch: pytest.MonkeyPatch, revoked: str
) -> None:
    async def judge(request: Request) -> Verdict:
        if "UploadPart" not in proxy.operations:
            return None
        if request.operation == "AssumeRole":
            return sts_error(403, "AccessDenied") if revoked == "the role" else None
        return error(403, "AccessDenied") if revoked == "the session" and request.signed_by == session() else None

    def session() -> str:
        return next(request.signed_by for request in proxy.seen if request.operation != "AssumeRole")

    proxy.judge = judge
    if revoked == "the role":
        proxy.alter = soon_over
    made, tape = destination(s3, proxy, identity), make_tape()
    with monkeypatch.context() as patched:
        patched.setattr(upload, "PART_BYTES", 2000)
        with pytest.raises(Misconfigured, match="AccessDenied"):
            await made.write(tape.play(), make_target(made))
    assert await s3.visible() == {}
    assert not tape.open
    # Nobody could abort it: without credentials there are no requests.
    assert len(await s3.unfinished()) == 1

    if revoked == "the role":
        proxy.judge = let_through
    again = make_tape()
    await made.write(again.play(), make_target(made, epoch=2))
    [data] = (await s3.visible()).values()
    assert read_file(data, "JSONLines", None) == again.rows
    assert await s3.unfinished() == []


async def test_every_step_of_the_connection_test_runs_in_the_role(
    s3: S3Harness, proxy: S3Proxy, identity: Identity
) -> None:
    config = {"bucket_name": s3.bucket, "region": "us-east-1", "prefix": s3.prefix, "endpoint_url": proxy.url}
    # Keys that the config still has are not what the integration says.
    trial = Trial(
        {**config, "aws_access_key_id": "old", "aws_secret_access_key": "old"}, NETWORK, START, linked(identity)
    )
    for step in (ASSUME_ROLE, BUCKET_EXISTS, WRITE_ACCESS):
        assert await run_step(step, trial) == StepResult("Passed")
    assumed = [request.form["RoleSessionName"] for request in proxy.seen if request.operation == "AssumeRole"]
    assert assumed == ["batch-exports-connection-test"] * 3
    assert "old" not in {request.signed_by for request in proxy.seen}

    proxy.judge = failing("AssumeRole", sts_error(403, "AccessDenied"))
    for step in (ASSUME_ROLE, BUCKET_EXISTS, WRITE_ACCESS):
        result = await run_step(step, trial)
        assert result.status == "Failed"
        assert f"role '{ROLE}' may not be assumed by this service" in str(result.message)


async def test_without_an_identity_or_an_external_id_no_role_is_assumed(s3: S3Harness, identity: Identity) -> None:
    config = {"bucket_name": s3.bucket, "region": "us-east-1", "prefix": s3.prefix}
    for integration, expected, words in (
        (linked(None), Unsupported, "it has no AWS identity of its own"),
        (linked(identity, aws_external_id=None), Misconfigured, "the integration has no external id"),
    ):
        with pytest.raises(expected, match=words):
            AwsS3.settings(config, integration)
        result = await run_step(ASSUME_ROLE, Trial(config, NETWORK, START, integration))
        assert result.status == "Failed"
        assert words in str(result.message)


def test_what_a_config_says_of_roles_is_not_heard(identity: Identity) -> None:
    config = {"bucket_name": "b", "region": "r", "prefix": "p", "aws_role_arn": ROLE, "aws_identity": "me"}
    with pytest.raises(Unsupported):
        AwsS3.settings({**config, "aws_external_id": EXTERNAL_ID}, None)


async def test_the_hosts_identity_is_used_where_a_setting_says_so(
    s3: S3Harness, proxy: S3Proxy, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    host = replace(identity, access_key=None, secret_key=None)
    made = destination(s3, proxy, host)
    shared_session.cache_clear()  # it remembers who the host is
    try:
        with pytest.raises(Misconfigured, match="its host has none"):
            await made.write(make_tape().play(), make_target(made))
        assert proxy.seen == []
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", str(identity.access_key))
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", str(identity.secret_key))
        assert (await made.write(make_tape().play(), make_target(made))).rows > 0
        assert proxy.seen[0].signed_by == identity.access_key
    finally:
        shared_session.cache_clear()


async def test_a_key_of_no_session_and_a_session_without_its_token_are_refused(
    s3: S3Harness, proxy: S3Proxy, identity: Identity
) -> None:
    """By the embedded server, as AWS does: or nothing above would show anything."""
    made = destination(s3, proxy, identity)
    await made.write(make_tape().play(), make_target(made))
    session = proxy.seen[1].signed_by
    for key, code in ((session, "InvalidToken"), ("ASIAUNKNOWN", "InvalidAccessKeyId")):
        other = s3.make(aws_access_key_id=key)
        with pytest.raises(Misconfigured, match=code):
            await other.write(make_tape().play(), make_target(other))
