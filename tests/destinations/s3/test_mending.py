"""What goes wrong in the middle of a run: it ends as what it is, nothing half-written is seen, and once that is mended
the next attempt is whole."""

from collections.abc import Mapping
from typing import Any

import pytest
from botocore.exceptions import ClientError

from app.destinations.objects import upload
from app.destinations.s3.errors import as_run_error
from app.errors import Misconfigured, RunError, Throttled, Transient
from tests.destinations.harness import S3Harness, make_target
from tests.destinations.rows import make_tape, read_file
from tests.destinations.s3_proxy import Reply, Request, S3Proxy, Verdict, error, let_through

pytestmark = pytest.mark.usefixtures("no_backoff")

TROUBLE: Mapping[str, tuple[Reply, str]] = {
    "the bucket is removed": (error(404, "NoSuchBucket"), "does not exist (NoSuchBucket)"),
    "a permission is revoked": (error(403, "AccessDenied"), "refused access; check the permissions of the access key"),
    "a session has expired": (error(400, "ExpiredToken"), "refused credentials that have expired"),
    "the KMS key is disabled": (error(400, "KMS.DisabledException"), "cannot use its KMS key: the key is disabled"),
    "a disk is full": (error(507, "XMinioStorageFull"), "is full (XMinioStorageFull)"),
    "an account's quota is used up": (error(403, "QuotaExceeded"), "is full: a quota is used up"),
    "a store is full without words": (Reply(507), "is full (507, HTTP 507)"),
    "the clock is wrong": (error(403, "RequestTimeTooSkewed"), "because the clock of this machine is wrong"),
}


@pytest.mark.parametrize("trouble", TROUBLE)
async def test_trouble_in_the_middle_of_a_run_loses_nothing(
    s3: S3Harness, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    reply, words = TROUBLE[trouble]

    async def judge(request: Request) -> Verdict:
        return reply if proxy.operations.count("UploadPart") > 1 else None

    proxy.judge = judge
    destination, tape = s3.make(endpoint_url=proxy.url), make_tape()
    with monkeypatch.context() as patched:
        patched.setattr(upload, "PART_BYTES", 2000)
        with pytest.raises(Misconfigured) as raised:
            await destination.write(tape.play(), make_target(destination))
    assert f"bucket '{s3.bucket}' at {proxy.url}" in str(raised.value)
    assert words in str(raised.value)
    assert "hush" not in str(raised.value)
    assert not tape.open
    assert await s3.visible() == {}
    # Aborting was asked for, and refused as everything was.
    assert "AbortMultipartUpload" in proxy.operations
    assert len(await s3.unfinished()) == 1

    proxy.judge = let_through
    again = make_tape(batches=2)
    await destination.write(again.play(), make_target(destination, epoch=2))
    [data] = (await s3.visible()).values()
    assert read_file(data, "JSONLines", None) == again.rows
    assert await s3.unfinished() == []


async def test_a_bucket_that_is_removed_in_the_middle_of_a_run_and_made_again(
    s3: S3Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the server itself, with all that was on its way."""
    monkeypatch.setattr(upload, "PART_BYTES", 2000)
    bucket = s3.prefix
    destination = s3.make(bucket_name=bucket)

    async def remove(number: int) -> None:
        async with s3.client() as client:
            if number == 0:
                await client.create_bucket(Bucket=bucket)
            elif number == 2:
                await client.delete_bucket(Bucket=bucket)

    with pytest.raises(Misconfigured, match="does not exist"):
        await destination.write(make_tape().play(before=remove), make_target(destination))
    async with s3.client() as client:
        await client.create_bucket(Bucket=bucket)
        monkeypatch.undo()
        tape = make_tape()
        [file] = (await destination.write(tape.play(), make_target(destination, epoch=2))).files
        answer = await client.get_object(Bucket=bucket, Key=file.key)
        assert read_file(await answer["Body"].read(), "JSONLines", None) == tape.rows


@pytest.mark.parametrize(
    ("status", "code", "expected", "words"),
    [
        (403, "InvalidAccessKeyId", Misconfigured, "does not know the access key"),
        (403, "SignatureDoesNotMatch", Misconfigured, "did not accept the secret access key"),
        (400, "InvalidToken", Misconfigured, "refused the credentials"),
        (400, "KMS.NotFoundException", Misconfigured, "cannot use its KMS key: there is no such key"),
        (400, "KMS.KMSInvalidStateException", Misconfigured, "the key is in a state that allows no use"),
        (400, "XMinioAdminBucketQuotaExceeded", Misconfigured, "is full: a quota is used up"),
        (507, "NoSpaceHere", Misconfigured, "is full (NoSpaceHere, HTTP 507)"),
        (400, "KMS.ThrottlingException", Throttled, "asks to slow down"),
        (400, "ThrottlingException", Throttled, "asks to slow down"),
        (503, "ServiceUnavailable", Throttled, "asks to slow down"),
        (500, "InternalError", Transient, "failed to answer"),
        (504, "504", Transient, "does not answer as an S3 store does"),
    ],
)
def test_other_answers_are_told_by_whether_they_may_pass(
    status: int, code: str, expected: type[RunError], words: str
) -> None:
    answer: Any = {"Error": {"Code": code, "Message": "hush"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    told = as_run_error(ClientError(answer, "PutObject"), "bucket 'b'")
    assert type(told) is expected
    assert words in str(told)
    assert "hush" not in str(told)
