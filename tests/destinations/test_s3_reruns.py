"""A run of a window that has been exported before replaces what is there, and deletes what it does not overwrite."""

import asyncio

import pytest

from app import failpoints
from app.destinations.base import Earlier
from app.errors import Misconfigured
from tests.destinations.harness import RUN_ID, S3Harness, ScriptedFence, make_target
from tests.destinations.rows import make_tape, read_file
from tests.destinations.s3_proxy import Request, S3Proxy, Verdict, error
from tests.destinations.trouble import failing

pytestmark = pytest.mark.usefixtures("no_backoff")


async def export(s3: S3Harness, batches: int, epoch: int = 1) -> tuple[str, ...]:
    """Files of one batch each, and a manifest; their keys."""
    destination = s3.make(max_file_size_mb=1)
    written = await destination.write(
        make_tape(batches).play(), make_target(destination, max_file_bytes=6000, epoch=epoch)
    )
    assert written.manifest is not None
    return (*(file.key for file in written.files), written.manifest.key)


async def cancelled_at(point: str, s3: S3Harness, earlier: Earlier, batches: int) -> None:
    """A write that is cancelled when it has come to a failpoint."""
    reached = asyncio.Event()

    async def hold(name: str) -> None:
        if name == point:
            reached.set()
            await asyncio.Event().wait()

    destination = s3.make(max_file_size_mb=1)
    target = make_target(destination, max_file_bytes=6000, fence=ScriptedFence(earlier), epoch=2)
    failpoints.install(hold)
    try:
        writing = asyncio.create_task(destination.write(make_tape(batches).play(), target))
        await asyncio.wait_for(reached.wait(), 30)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
    finally:
        failpoints.install(None)


async def test_an_empty_rerun_leaves_nothing_in_two_kinds_of_requests(s3: S3Harness, proxy: S3Proxy) -> None:
    stale = await export(s3, 3)
    destination = s3.make(endpoint_url=proxy.url, max_file_size_mb=1)
    fence = ScriptedFence(Earlier(stale, replaces=True))
    written = await destination.write(make_tape(0).play(), make_target(destination, fence=fence))
    assert fence.announced == [(destination.location, ())]
    assert (written.rows, written.undeleted) == (0, ())
    assert await s3.visible() == {}


async def test_stale_files_go_only_once_the_new_ones_are_there(s3: S3Harness, proxy: S3Proxy) -> None:
    keys = await export(s3, 5)
    seen: list[set[str]] = []

    async def judge(request: Request) -> Verdict:
        if request.operation == "DeleteObject":
            seen.append(set(await s3.visible()))
        return None

    proxy.judge = judge
    destination = s3.make(endpoint_url=proxy.url, max_file_size_mb=1)
    fence = ScriptedFence(Earlier((keys[3], keys[4], f"{s3.prefix}/never-written"), replaces=True))
    tape = make_tape(2, 50)
    target = make_target(destination, max_file_bytes=6000, fence=fence, epoch=2)
    written = await destination.write(tape.play(), target)
    assert written.undeleted == ()
    assert len(seen) == 2
    assert set(await s3.visible()) == {*(file.key for file in written.files), keys[-1], keys[2]} - {
        key for key in (keys[3], keys[4]) if key not in {file.key for file in written.files}
    }
    manifest_first = [r.path for r in proxy.seen if r.operation in ("PutObject", "DeleteObject") and r.method != "HEAD"]
    assert any(path.endswith("_manifest.json") for path in manifest_first[: -len(seen)])


@pytest.mark.parametrize(
    ("verdict", "told"),
    [
        (error(403, "AccessDenied"), "Permission s3:DeleteObject is missing"),
        (error(500, "InternalError"), "failed to answer"),
    ],
)
async def test_what_cannot_be_deleted_does_not_fail_the_run(
    s3: S3Harness, proxy: S3Proxy, verdict: Verdict, told: str
) -> None:
    [stale, _] = await export(s3, 1)
    proxy.judge = failing("DeleteObject", verdict)
    destination = s3.make(endpoint_url=proxy.url)
    fence = ScriptedFence(Earlier((stale,), replaces=True))
    written = await destination.write(make_tape(1).play(), make_target(destination, fence=fence))
    assert written.undeleted == (stale,)
    assert told in written.undeleted_reason
    assert "hush" not in written.undeleted_reason
    assert stale in await s3.visible()


async def test_trouble_with_deleting_that_passes_is_not_noticed(s3: S3Harness, proxy: S3Proxy) -> None:
    [stale, manifest] = await export(s3, 1)
    proxy.judge = failing("DeleteObject", error(503, "SlowDown"), times=2)
    destination = s3.make(endpoint_url=proxy.url)
    fence = ScriptedFence(Earlier((stale, manifest), replaces=True))
    written = await destination.write(make_tape(1).play(), make_target(destination, fence=fence))
    assert (written.undeleted, written.undeleted_reason) == ((), "")
    assert list(await s3.visible()) == [written.files[0].key]


@pytest.mark.parametrize("point", [failpoints.FILE_COMMITTED, failpoints.MANIFEST_COMMITTED])
@pytest.mark.parametrize("owned", [True, False], ids=["still ours", "another worker's"])
async def test_a_rerun_that_is_cancelled_once_it_overwrites_goes_on_to_its_end(
    s3: S3Harness, point: str, owned: bool
) -> None:
    await export(s3, 3)
    extra = await s3_put(s3, "stale")
    fence = ScriptedFence(Earlier((extra,), replaces=True), aware=False)
    reached = asyncio.Event()

    async def hold(name: str) -> None:
        if name == point and not reached.is_set():
            reached.set()
            await asyncio.Event().wait()

    destination = s3.make(max_file_size_mb=1)
    tape = make_tape(3)
    target = make_target(destination, max_file_bytes=6000, fence=fence, epoch=2)
    failpoints.install(hold)
    try:
        writing = asyncio.create_task(destination.write(tape.play(), target))
        await asyncio.wait_for(reached.wait(), 30)
        fence.owned, fence.lapsed = owned, True
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
    finally:
        failpoints.install(None)
    attempts = {(await s3.head(key))["Metadata"].get("batch-exports-attempt") for key in await s3.visible()}
    if owned:
        assert attempts == {f"{RUN_ID}/2"}
        visible = await s3.visible()
        rows = [row for key in sorted(visible) if "-" in key[-8:] for row in read_file(visible[key], "JSONLines", None)]
        assert rows == tape.rows
    else:
        assert extra in await s3.visible()
    assert await s3.unfinished() == []


async def test_a_rerun_that_is_cancelled_before_it_overwrites_changes_nothing(s3: S3Harness) -> None:
    await export(s3, 2)
    before = await s3.visible()
    await cancelled_at(failpoints.ANNOUNCED, s3, Earlier(replaces=True), batches=3)
    assert await s3.visible() == before
    assert await s3.unfinished() == []


async def test_a_first_run_that_is_cancelled_takes_back_what_lost_attempts_have_left_too(s3: S3Harness) -> None:
    keys = await export(s3, 3)  # of which the run's row knows nothing: the attempt was lost
    stranger = await s3_put(s3, "somebody else's")
    await cancelled_at(failpoints.FILE_COMMITTED, s3, Earlier(stale=(keys[2],)), batches=2)
    assert list(await s3.visible()) == [stranger]


async def test_discarding_deletes_what_an_attempt_has_written_and_nothing_else(s3: S3Harness, proxy: S3Proxy) -> None:
    keys = await export(s3, 1)
    other = await export(s3, 1, epoch=2)
    assert other == keys
    destination = s3.make(endpoint_url=proxy.url, max_file_size_mb=1)
    await destination.discard([*keys, f"{s3.prefix}/missing"], attempt=f"{RUN_ID}/1")
    assert set(await s3.visible()) == set(keys)
    await destination.discard(keys, attempt=f"{RUN_ID}/2")
    assert await s3.visible() == {}
    await destination.discard(await export(s3, 1))
    assert await s3.visible() == {}
    proxy.judge = failing("DeleteObject", error(403, "AccessDenied"))
    with pytest.raises(Misconfigured):
        await destination.discard(await export(s3, 1))


async def s3_put(s3: S3Harness, name: str) -> str:
    key = f"{s3.prefix}/{name}"
    async with s3.client() as client:
        await client.put_object(Bucket=s3.bucket, Key=key, Body=b"x")
    return key
