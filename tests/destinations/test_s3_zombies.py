"""An attempt falls asleep between its last check and a request. Another one does the work meanwhile; then it wakes.

Whatever it still sends changes nothing of what the other one has written.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from app import failpoints
from app.destinations.base import Earlier
from app.destinations.objects import upload
from app.errors import LeaseLost, RunError, Transient
from tests.destinations.harness import S3Harness, ScriptedFence, make_target
from tests.destinations.rows import Tape, make_tape
from tests.destinations.s3_proxy import Request, S3Proxy, Verdict, error
from tests.destinations.trouble import failing, three_parts

pytestmark = pytest.mark.usefixtures("no_backoff")

Matches = Callable[[Request], bool]


class Sleeper:
    """An attempt of epoch 1 that is held up right before the first request that ``matches`` reaches the store."""

    def __init__(self, s3: S3Harness, proxy: S3Proxy, matches: Matches, tape: Tape, **arguments: Any) -> None:
        self._asleep, self._awake = asyncio.Event(), asyncio.Event()
        # It has looked at its clock already: the request is on its way.
        self._fence = ScriptedFence(arguments.pop("earlier", Earlier()), aware=False)
        self._tape = tape
        destination = s3.make(endpoint_url=proxy.url, **arguments.pop("config", {}))
        target = make_target(destination, fence=self._fence, **arguments)

        async def judge(request: Request) -> Verdict:
            if matches(request) and not self._asleep.is_set():
                self._asleep.set()
                await self._awake.wait()
            return None

        proxy.judge = judge
        self._writing = asyncio.create_task(destination.write(tape.play(), target))

    async def falls_asleep(self) -> None:
        await asyncio.wait_for(self._asleep.wait(), 30)
        self._fence.owned = False

    async def wakes(self) -> BaseException:
        """The error that it ends with."""
        self._awake.set()
        with pytest.raises((RunError, LeaseLost)) as raised:
            await self._writing
        assert not self._tape.open
        return raised.value


def is_(operation: str, key: str = "") -> Matches:
    return lambda request: request.operation == operation and request.path.endswith(key)


NUMBERED: dict[str, Any] = {"config": {"max_file_size_mb": 1}, "max_file_bytes": 6000}


COMMITS = pytest.mark.parametrize(
    ("operation", "key", "arguments"),
    [
        ("PutObject", "", {}),
        ("PutObject", "-1.jsonl", NUMBERED),
        ("CompleteMultipartUpload", "-0.jsonl", NUMBERED),
        ("PutObject", "_manifest.json", NUMBERED),
    ],
    ids=["one put", "a put among files", "a completion", "the manifest"],
)


@COMMITS
@pytest.mark.parametrize("rerun", [False, True], ids=["first run", "rerun"])
async def test_nothing_of_another_attempt_is_overwritten(
    s3: S3Harness, proxy: S3Proxy, operation: str, key: str, arguments: dict[str, Any], rerun: bool
) -> None:
    arguments = dict(arguments)
    config = arguments.get("config", {})
    if rerun:
        before = s3.make(**config)
        await before.write(make_tape(2, 10).play(), make_target(before, max_file_bytes=arguments.get("max_file_bytes")))
        arguments["earlier"] = Earlier(replaces=True)
    sleeper = Sleeper(s3, proxy, is_(operation, key), make_tape(2), **arguments)
    await sleeper.falls_asleep()

    other = s3.make(**config)
    written = await other.write(
        make_tape(batches=3).play(),
        make_target(other, epoch=2, max_file_bytes=arguments.get("max_file_bytes")),
    )
    there = await s3.visible()
    assert isinstance(await sleeper.wakes(), LeaseLost | Transient)
    assert await s3.visible() == there
    keys = {file.key for file in (*written.files, *([written.manifest] if written.manifest else []))}
    assert set(there) == keys
    assert {(await s3.head(name))["Metadata"]["batch-exports-attempt"][-2:] for name in there} == {"/2"}
    assert await s3.unfinished() == []


@COMMITS
async def test_nor_by_a_request_that_was_to_replace_an_earlier_run(
    s3: S3Harness, proxy: S3Proxy, operation: str, key: str, arguments: dict[str, Any]
) -> None:
    """It has seen what lay there before, and knows that the run was its own then."""
    config, size = arguments.get("config", {}), arguments.get("max_file_bytes")
    before = s3.make(**config)
    await before.write(make_tape(3, size=210).play(), make_target(before, max_file_bytes=size))
    there_is = is_(operation, key)
    sleeper = Sleeper(
        s3,
        proxy,
        lambda request: there_is(request) and (request.condition or "").startswith("If-Match"),
        make_tape(2),
        earlier=Earlier(replaces=True),
        **arguments,
    )
    await sleeper.falls_asleep()
    await before.write(make_tape(3, size=190).play(), make_target(before, epoch=2, max_file_bytes=size))
    there = await s3.visible()
    assert isinstance(await sleeper.wakes(), Transient)
    assert await s3.visible() == there
    assert {(await s3.head(name))["Metadata"]["batch-exports-attempt"][-2:] for name in there} == {"/2"}


async def test_nor_what_anybody_else_has_put_there(s3: S3Harness, proxy: S3Proxy) -> None:
    """Who knows nothing of our uploads, and aborts none."""
    before = s3.make(max_file_size_mb=1)
    files = (await before.write(make_tape(2, size=210).play(), make_target(before, max_file_bytes=6000))).files
    sleeper = Sleeper(
        s3,
        proxy,
        lambda request: request.operation == "CompleteMultipartUpload" and "if-match" in request.headers,
        make_tape(2),
        earlier=Earlier(replaces=True),
        **NUMBERED,
    )
    await sleeper.falls_asleep()
    async with s3.client() as client:
        await client.put_object(Bucket=s3.bucket, Key=files[0].key, Body=b"somebody else's")
    assert isinstance(await sleeper.wakes(), Transient)
    assert (await s3.visible())[files[0].key] == b"somebody else's"


async def test_an_upload_that_was_aborted_meanwhile_cannot_be_completed(
    s3: S3Harness, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even where the store knows of no conditions, and the other attempt found no rows."""
    sleeper = Sleeper(s3, proxy, is_("CompleteMultipartUpload"), three_parts(monkeypatch))
    await sleeper.falls_asleep()
    other = s3.make()
    await other.write(make_tape(batches=0).play(), make_target(other, epoch=2))
    assert await s3.unfinished() == []
    assert isinstance(await sleeper.wakes(), Transient)
    assert await s3.visible() == {}


async def test_nothing_of_another_attempt_is_deleted(s3: S3Harness, proxy: S3Proxy) -> None:
    """What was stale for the one is what the other has written."""
    before = s3.make()
    [stale] = (await before.write(make_tape(1).play(), make_target(before))).files
    earlier = Earlier(stale=(stale.key,), replaces=True)
    sleeper = Sleeper(s3, proxy, is_("DeleteObject"), make_tape(0), earlier=earlier)
    await sleeper.falls_asleep()
    await before.write(make_tape(3).play(), make_target(before, epoch=2))
    there = await s3.visible()
    sleeper._awake.set()
    written = await sleeper._writing
    assert written.undeleted == ()
    assert await s3.visible() == there


async def test_nothing_of_another_attempt_is_taken_back(s3: S3Harness, proxy: S3Proxy) -> None:
    """It still thought that the run was its own when it began to clean up."""
    asleep, awake = asyncio.Event(), asyncio.Event()

    async def judge(request: Request) -> Verdict:
        if request.operation == "PutObject" and request.path.endswith("_manifest.json"):
            return error(403, "AccessDenied")
        if request.operation == "DeleteObject" and not asleep.is_set():
            asleep.set()
            await awake.wait()
        return None

    proxy.judge = judge
    config = {"max_file_size_mb": 1}
    destination = s3.make(endpoint_url=proxy.url, **config)
    target = make_target(destination, max_file_bytes=6000)
    writing = asyncio.create_task(destination.write(make_tape(2).play(), target))
    await asyncio.wait_for(asleep.wait(), 30)
    other = s3.make(**config)
    written = await other.write(make_tape(3, 10).play(), make_target(other, max_file_bytes=6000, epoch=2))
    there = await s3.visible()
    awake.set()
    with pytest.raises(RunError):
        await writing
    assert await s3.visible() == there
    assert len(there) == len(written.files) + 1


@pytest.mark.parametrize("point", [failpoints.ALL_SENT, failpoints.ANNOUNCED, failpoints.FILE_COMMITTED])
async def test_an_attempt_whose_clock_says_that_it_slept_sends_nothing_more(
    s3: S3Harness, proxy: S3Proxy, point: str
) -> None:
    fence = ScriptedFence()
    asked = 0

    async def sleep(reached: str) -> None:
        nonlocal asked
        if reached == point and fence.owned:
            fence.owned = False
            asked = len(proxy.seen)

    destination = s3.make(endpoint_url=proxy.url, max_file_size_mb=1)
    failpoints.install(sleep)
    try:
        with pytest.raises(LeaseLost):
            await destination.write(make_tape(2).play(), make_target(destination, max_file_bytes=6000, fence=fence))
    finally:
        failpoints.install(None)
    assert {"PutObject", "CompleteMultipartUpload", "DeleteObject"}.isdisjoint(proxy.operations[asked:])
    assert await s3.unfinished() == []


async def test_a_request_that_the_client_repeats_is_checked_again(s3: S3Harness, proxy: S3Proxy) -> None:
    """Its repetitions may come minutes later."""
    fence = ScriptedFence()

    async def judge(request: Request) -> Verdict:
        fence.owned = False
        return error(503, "SlowDown")

    proxy.judge = judge
    destination = s3.make(endpoint_url=proxy.url)
    with pytest.raises(LeaseLost):
        await destination.write(make_tape().play(), make_target(destination, fence=fence))
    assert proxy.operations == ["PutObject"]


async def test_parts_of_lost_attempts_are_not_paid_for_ever(
    s3: S3Harness, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"{s3.prefix}/{stem}" for stem in ("2026-03-01T00:00:00+00:00-2026-03-01T01:00:00+00:00",)]
    own = [f"{names[0]}.jsonl", f"{names[0]}-17.jsonl", f"{names[0]}_manifest.json"]
    foreign = [f"{names[0]}.parquet", f"{names[0]}.jsonl.gz", f"{s3.prefix}/other"]
    async with s3.client() as client:
        for key in (*own, *foreign):
            await client.create_multipart_upload(Bucket=s3.bucket, Key=key)
    monkeypatch.setattr(upload, "PART_BYTES", 5 * 1024 * 1024)
    destination = s3.make(endpoint_url=proxy.url)
    written = await destination.write(three_parts(monkeypatch).play(), make_target(destination, epoch=2))
    assert written.rows == 12
    assert sorted(await s3.unfinished()) == sorted(foreign)


@pytest.mark.parametrize("operation", ["ListMultipartUploads", "AbortMultipartUpload"])
async def test_parts_that_may_not_be_listed_or_aborted_stay(s3: S3Harness, proxy: S3Proxy, operation: str) -> None:
    async with s3.client() as client:
        key = f"{s3.prefix}/2026-03-01T00:00:00+00:00-2026-03-01T01:00:00+00:00.jsonl"
        await client.create_multipart_upload(Bucket=s3.bucket, Key=key)
    proxy.judge = failing(operation, error(403, "AccessDenied"))
    destination = s3.make(endpoint_url=proxy.url)
    written = await destination.write(make_tape().play(), make_target(destination, epoch=2))
    assert list(await s3.visible()) == [file.key for file in written.files]
    assert len(await s3.unfinished()) == 1
