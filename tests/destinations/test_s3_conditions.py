"""Stores of all kinds, and what lay in them before: requests on a condition do not keep an export from its work."""

import pytest
from botocore.exceptions import ClientError

from app.destinations.base import Earlier
from app.errors import RunError, Transient
from tests.destinations.harness import S3Harness, ScriptedFence, make_target
from tests.destinations.rows import Tape, make_batch, make_tape
from tests.destinations.s3_proxy import Reply, Request, S3Proxy, Verdict, error
from tests.destinations.trouble import failing, knowing_no_conditions

pytestmark = pytest.mark.usefixtures("no_backoff")


@pytest.mark.parametrize(
    "reply",
    [
        error(501, "NotImplemented"),
        Reply(400, "<Error><Code>InvalidArgument</Code><ArgumentName>If-None-Match</ArgumentName></Error>"),
        Reply(400, "<Error><Code>InvalidRequest</Code><Message>Header If-Match is not known</Message></Error>"),
    ],
    ids=["501", "named as an argument", "named in words"],
)
async def test_a_store_that_knows_no_conditions_is_asked_without(
    s3: S3Harness, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch, reply: Reply
) -> None:
    before = s3.make(max_file_size_mb=1)
    earlier = await before.write(make_tape(3).play(), make_target(before, max_file_bytes=6000))
    stale = tuple(file.key for file in earlier.files[1:])
    proxy.judge = knowing_no_conditions(reply)
    destination = s3.make(endpoint_url=proxy.url, max_file_size_mb=1)
    fence = ScriptedFence(Earlier(stale, replaces=True))
    written = await destination.write(make_tape(1, 5).play(), make_target(destination, fence=fence, epoch=2))
    assert written.manifest is not None
    assert set(await s3.visible()) == {written.files[0].key, written.manifest.key}
    # Asked once with a condition, and never again.
    conditional = [request.operation for request in proxy.seen if request.condition is not None]
    assert conditional.count("PutObject") == 1


async def test_another_400_is_not_taken_for_a_store_without_conditions(s3: S3Harness, proxy: S3Proxy) -> None:
    proxy.judge = failing("PutObject", error(400, "InvalidArgument"))
    destination = s3.make(endpoint_url=proxy.url)
    with pytest.raises(RunError):
        await destination.write(make_tape().play(), make_target(destination))
    assert proxy.operations == ["PutObject"]


async def test_what_lay_there_before_there_were_records_is_overwritten(s3: S3Harness, proxy: S3Proxy) -> None:
    before = s3.make()
    await before.write(make_tape(1).play(), make_target(before))
    destination = s3.make(endpoint_url=proxy.url)
    written = await destination.write(make_tape(2).play(), make_target(destination, epoch=5))
    [data] = (await s3.visible()).values()
    assert len(data) == written.bytes
    puts = [request.condition for request in proxy.seen if request.operation == "PutObject"]
    assert puts[0] == "If-None-Match: *"
    assert puts[1] is not None
    assert puts[1].startswith("If-Match: ")


async def test_a_key_that_may_only_write_can_overwrite(s3: S3Harness, proxy: S3Proxy) -> None:
    before = s3.make()
    await before.write(make_tape(1).play(), make_target(before))
    proxy.judge = failing("HeadObject", Reply(403))
    destination = s3.make(endpoint_url=proxy.url)
    written = await destination.write(make_tape(2).play(), make_target(destination))
    [data] = (await s3.visible()).values()
    assert len(data) == written.bytes


async def test_somebody_who_writes_the_same_object_all_the_time_is_an_error(s3: S3Harness, proxy: S3Proxy) -> None:
    other = s3.make()

    async def judge(request: Request) -> Verdict:
        if request.operation == "PutObject":
            number = len(proxy.seen)
            await other.write(Tape([make_batch(number, 3)]).play(), make_target(other, epoch=9 + number))
        return None

    proxy.judge = judge
    destination = s3.make(endpoint_url=proxy.url)
    with pytest.raises(Transient, match="somebody else writes object"):
        await destination.write(make_tape().play(), make_target(destination))
    assert len(await s3.visible()) == 1


async def test_the_embedded_server_answers_about_lost_uploads_as_stores_do(s3: S3Harness) -> None:
    """On which it depends whether a request that came too late may pass for one that worked."""
    bucket, key = s3.bucket, f"{s3.prefix}/key"
    async with s3.client() as client:
        lost = (await client.create_multipart_upload(Bucket=bucket, Key=key))["UploadId"]
        await client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=lost)
        with pytest.raises(ClientError, match="NoSuchUpload"):
            await client.upload_part(Bucket=bucket, Key=key, UploadId=lost, PartNumber=1, Body=b"x")
        with pytest.raises(ClientError, match="NoSuchUpload"):
            await client.complete_multipart_upload(
                Bucket=bucket, Key=key, UploadId=lost, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": "x"}]}
            )
