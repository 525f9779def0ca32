"""What becomes of a write when store or network fails: it is recognised for what it is, and nothing half-done stays."""

import pytest

from app.destinations.base import Earlier
from app.destinations.objects import upload
from app.errors import Misconfigured, RunError, Throttled, Transient
from tests.destinations.harness import S3Harness, ScriptedFence, make_target
from tests.destinations.rows import make_tape, read_file
from tests.destinations.s3_proxy import Fate, Reply, Request, S3Proxy, Verdict, error
from tests.destinations.trouble import assert_nothing_left, failing, three_parts

pytestmark = pytest.mark.usefixtures("no_backoff")

PASSING: dict[str, Verdict] = {
    "an internal error": error(500, "InternalError"),
    "slow down": error(503, "SlowDown"),
    "a page of a gateway": Reply(502, "<html>Bad gateway</html>"),
    "a request time-out": error(400, "RequestTimeout"),
    "a dropped answer": Fate.DROP_ANSWER,
    "a dropped request": Fate.DROP_REQUEST,
}


@pytest.mark.parametrize("trouble", PASSING)
@pytest.mark.parametrize("operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload"])
async def test_trouble_that_passes_is_not_noticed(
    s3: S3Harness, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch, operation: str, trouble: str
) -> None:
    tape = three_parts(monkeypatch)
    proxy.judge = failing(operation, PASSING[trouble], times=2)
    destination = s3.make(endpoint_url=proxy.url)
    written = await destination.write(tape.play(), make_target(destination))
    [data] = (await s3.visible()).values()
    assert len(data) == written.bytes
    assert read_file(data, "JSONLines", None) == tape.rows


async def test_looking_at_the_result_is_tried_again(s3: S3Harness, proxy: S3Proxy) -> None:
    proxy.judge = failing("HeadObject", Reply(503), times=2)
    destination = s3.make(endpoint_url=proxy.url)
    await destination.write(make_tape().play(), make_target(destination))
    assert proxy.operations == ["PutObject", "HeadObject", "HeadObject", "HeadObject"]


LASTING: dict[str, tuple[Verdict, type[RunError]]] = {
    "an internal error": (error(500, "InternalError"), Transient),
    "slow down": (error(503, "SlowDown"), Throttled),
    "too many requests": (error(429, "TooManyRequests"), Throttled),
    "a dropped request": (Fate.DROP_REQUEST, Transient),
    "damage on the way": (error(400, "BadDigest"), Transient),
    "access revoked": (error(403, "AccessDenied"), Misconfigured),
    "credentials expired": (error(400, "ExpiredToken"), Misconfigured),
    "the bucket gone": (error(404, "NoSuchBucket"), Misconfigured),
    "a disabled key": (error(400, "KMS.DisabledException"), Misconfigured),
    "an unheard-of refusal": (error(400, "SomethingNew"), Misconfigured),
}


@pytest.mark.parametrize("trouble", LASTING)
async def test_a_part_that_fails_for_good_ends_the_run_and_the_upload(
    s3: S3Harness, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    monkeypatch.setattr(upload, "PART_BYTES", 2000)
    verdict, expected = LASTING[trouble]
    tape = make_tape()
    proxy.judge = failing("UploadPart", verdict, part=2)
    destination = s3.make(endpoint_url=proxy.url)
    with pytest.raises(expected) as raised:
        await destination.write(tape.play(), make_target(destination))
    assert f"bucket '{s3.bucket}'" in str(raised.value)
    assert "hush" not in str(raised.value)
    await assert_nothing_left(s3, tape)


@pytest.mark.parametrize("operation", ["CreateMultipartUpload", "CompleteMultipartUpload"])
async def test_an_upload_that_cannot_begin_or_end_leaves_nothing(
    s3: S3Harness, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch, operation: str
) -> None:
    monkeypatch.setattr(upload, "PART_BYTES", 2000)
    tape = make_tape()
    proxy.judge = failing(operation, error(500, "InternalError"))
    destination = s3.make(endpoint_url=proxy.url)
    with pytest.raises(Transient):
        await destination.write(tape.play(), make_target(destination))
    await assert_nothing_left(s3, tape)


async def test_a_put_that_fails_leaves_nothing(s3: S3Harness, proxy: S3Proxy) -> None:
    tape = make_tape()
    proxy.judge = failing("PutObject", error(503, "SlowDown"))
    destination = s3.make(endpoint_url=proxy.url)
    with pytest.raises(Throttled):
        await destination.write(tape.play(), make_target(destination))
    await assert_nothing_left(s3, tape)


async def test_a_put_whose_every_answer_is_lost_is_found_to_have_worked(s3: S3Harness, proxy: S3Proxy) -> None:
    tape = make_tape()
    proxy.judge = failing("PutObject", Fate.DROP_ANSWER)
    destination = s3.make(endpoint_url=proxy.url)
    await destination.write(tape.play(), make_target(destination))
    [data] = (await s3.visible()).values()
    assert read_file(data, "JSONLines", None) == tape.rows


async def test_a_completion_whose_every_answer_is_lost_is_found_to_have_worked(
    s3: S3Harness, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    tape = three_parts(monkeypatch)
    proxy.judge = failing("CompleteMultipartUpload", Fate.DROP_ANSWER)
    destination = s3.make(endpoint_url=proxy.url)
    await destination.write(tape.play(), make_target(destination))
    [data] = (await s3.visible()).values()
    assert read_file(data, "JSONLines", None) == tape.rows


async def test_an_error_inside_a_good_answer_is_an_error(
    s3: S3Harness, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Completing takes long, so stores begin their answer with 200 before they know."""
    monkeypatch.setattr(upload, "PART_BYTES", 2000)
    tape = make_tape()
    proxy.judge = failing("CompleteMultipartUpload", error(200, "InternalError"))
    destination = s3.make(endpoint_url=proxy.url)
    with pytest.raises(Transient):
        await destination.write(tape.play(), make_target(destination))
    await assert_nothing_left(s3, tape)


async def test_an_object_of_another_size_than_was_sent_is_an_error(s3: S3Harness, proxy: S3Proxy) -> None:
    tape = make_tape()
    proxy.judge = failing("HeadObject", Reply(404), times=1)
    destination = s3.make(endpoint_url=proxy.url)
    with pytest.raises(Transient, match="as it was sent"):
        await destination.write(tape.play(), make_target(destination))
    await assert_nothing_left(s3, tape)


async def test_a_key_that_may_only_write_can_export(s3: S3Harness, proxy: S3Proxy) -> None:
    tape = make_tape()
    proxy.judge = failing("HeadObject", Reply(403))
    destination = s3.make(endpoint_url=proxy.url)
    await destination.write(tape.play(), make_target(destination))
    [data] = (await s3.visible()).values()
    assert read_file(data, "JSONLines", None) == tape.rows


async def test_a_failed_rerun_leaves_what_an_earlier_run_wrote(s3: S3Harness, proxy: S3Proxy) -> None:
    earlier = make_tape(batches=1)
    destination = s3.make(endpoint_url=proxy.url)
    await destination.write(earlier.play(), make_target(destination))
    proxy.judge = failing("PutObject", error(503, "SlowDown"))
    fence = ScriptedFence(Earlier(replaces=True))
    with pytest.raises(Throttled):
        await destination.write(make_tape().play(), make_target(destination, epoch=2, fence=fence))
    [data] = (await s3.visible()).values()
    assert read_file(data, "JSONLines", None) == earlier.rows


@pytest.mark.parametrize("which", ["-1.jsonl", "_manifest.json"])
@pytest.mark.parametrize("answered", [True, False])
async def test_files_of_a_set_that_cannot_be_finished_are_taken_back(
    s3: S3Harness, proxy: S3Proxy, which: str, answered: bool
) -> None:
    async def judge(request: Request) -> Verdict:
        ends_here = request.path.endswith(which)
        if ends_here and request.operation in ("CompleteMultipartUpload", "PutObject"):
            return error(403, "AccessDenied") if answered else Fate.DROP_ANSWER
        # Without an answer the file is there, but looking for it fails as well: whatever can be known later is undone.
        if ends_here and not answered and request.operation == "HeadObject" and "DeleteObject" not in proxy.operations:
            heads[0] += 1
            return error(500, "InternalError") if heads[0] <= 6 else None
        return None

    heads = [0]
    tape = make_tape(batches=2)
    proxy.judge = judge
    destination = s3.make(endpoint_url=proxy.url, max_file_size_mb=1)
    with pytest.raises(RunError):
        await destination.write(tape.play(), make_target(destination, max_file_bytes=6000))
    await assert_nothing_left(s3, tape)


async def test_files_are_not_taken_back_once_the_run_is_another_workers(s3: S3Harness, proxy: S3Proxy) -> None:
    """By then the same names may hold what the other worker has written."""
    fence = ScriptedFence(aware=False)

    async def judge(request: Request) -> Verdict:
        if request.path.endswith("_manifest.json"):
            fence.owned = False
            return error(403, "AccessDenied")
        return None

    proxy.judge = judge
    destination = s3.make(endpoint_url=proxy.url, max_file_size_mb=1)
    with pytest.raises(RunError):
        await destination.write(make_tape().play(), make_target(destination, max_file_bytes=6000, fence=fence))
    assert fence.asked > 0
    assert "DeleteObject" not in proxy.operations
    assert await s3.unfinished() == []
