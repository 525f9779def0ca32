"""A write that is cancelled at a bad moment, again and again even, cleans up behind itself."""

import asyncio

import pytest

from app.destinations.objects import upload
from tests.destinations.harness import S3Harness, make_target
from tests.destinations.rows import make_tape
from tests.destinations.s3_proxy import Request, S3Proxy, Verdict, error
from tests.destinations.trouble import assert_nothing_left, three_parts


@pytest.mark.parametrize("times", [1, 3], ids=["cancelled once", "cancelled again and again"])
@pytest.mark.parametrize("operation", ["CreateMultipartUpload", "UploadPart", "CompleteMultipartUpload", "PutObject"])
async def test_cancelling_during_a_request_leaves_nothing(
    s3: S3Harness, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch, operation: str, times: int
) -> None:
    parts = operation != "PutObject"
    tape = three_parts(monkeypatch) if parts else make_tape()
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def hold(request: Request) -> Verdict:
        if request.operation == operation and not arrived.is_set():
            arrived.set()
            await go_on.wait()
        return None

    proxy.judge = hold
    destination = s3.make(endpoint_url=proxy.url)
    writing = asyncio.create_task(destination.write(tape.play(), make_target(destination)))
    await arrived.wait()
    for _ in range(times):
        writing.cancel()
        await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await assert_nothing_left(s3, tape)


async def test_cancelling_while_cleaning_up_does_not_stop_the_cleaning(
    s3: S3Harness, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "PART_BYTES", 2000)
    aborting, go_on = asyncio.Event(), asyncio.Event()

    async def judge(request: Request) -> Verdict:
        if request.operation == "CompleteMultipartUpload":
            return error(403, "AccessDenied")
        if request.operation == "AbortMultipartUpload":
            aborting.set()
            await go_on.wait()
        return None

    tape = make_tape()
    proxy.judge = judge
    destination = s3.make(endpoint_url=proxy.url)
    writing = asyncio.create_task(destination.write(tape.play(), make_target(destination)))
    await aborting.wait()
    writing.cancel()
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await writing
    await assert_nothing_left(s3, tape)


async def test_a_store_that_never_answers_does_not_hold_up_a_cancelled_run(
    s3: S3Harness, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "CLEAN_UP_LIMIT", 0.05)
    monkeypatch.setattr("app.destinations.objects.commit.CLEAN_UP_LIMIT", 0.05)
    silent = asyncio.Event()

    async def judge(_: Request) -> Verdict:
        silent.set()
        await asyncio.Event().wait()
        raise AssertionError

    tape = make_tape()
    proxy.judge = judge
    destination = s3.make(endpoint_url=proxy.url)
    writing = asyncio.create_task(destination.write(tape.play(), make_target(destination)))
    await silent.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing
    assert not tape.open
