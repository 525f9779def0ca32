"""Files of partitions in a bucket: where they lie, what a rerun leaves of them, and what it costs."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
import pytest

from app import failpoints
from app.destinations.base import Destination, Earlier, Fence, Target, WrittenFile
from app.destinations.objects import destination as objects
from app.errors import Misconfigured
from app.formats import FORMATS
from app.formats.base import encode_files
from app.formats.partitions import Partitioner
from app.streams import Batches, Chunks
from tests.destinations.harness import UNFENCED, S3Harness, ScriptedFence, make_target
from tests.destinations.rows import SCHEMA, Tape, make_batch, read_file
from tests.destinations.s3_proxy import Request, S3Proxy, Verdict, error
from tests.destinations.trouble import assert_nothing_left

pytestmark = pytest.mark.usefixtures("no_backoff")
WINDOW = "2026-03-01T00:00:00+00:00-2026-03-01T01:00:00+00:00"
SIZE = 6000


def make(s3: S3Harness, **config: Any) -> Destination:
    prefix = f"{s3.prefix}/event={{event}}"
    return s3.make(**{"prefix": prefix, "partition_rows": True, **config})


def tape_of(*events: str) -> Tape:
    """Twenty rows of each, sorted."""
    place = SCHEMA.get_field_index("event")
    batches = [make_batch(number * 20, 20) for number in range(len(events))]
    named = [
        batch.set_column(place, SCHEMA.field(place), pa.array([event] * 20))
        for event, batch in zip(sorted(events), batches, strict=True)
    ]
    return Tape(named)


def target_of(destination: Destination, epoch: int = 1, fence: Fence = UNFENCED, gently: bool = False) -> Target:
    target = make_target(destination, epoch=epoch, fence=fence, gently=gently)
    size = SIZE if destination.config.max_file_size_mb is not None else None

    def encode(batches: Batches) -> Chunks:
        cut = Partitioner({"event": SCHEMA.get_field_index("event")})
        return encode_files(batches, FORMATS["JSONLines"], SCHEMA, None, size, cut)

    return replace(target, encode=encode)


async def export(s3: S3Harness, *events: str, epoch: int = 1, **config: Any) -> Sequence[WrittenFile]:
    """All files, the manifest last."""
    destination = make(s3, **config)
    written = await destination.write(tape_of(*events).play(), target_of(destination, epoch))
    assert written.manifest is not None
    return (*written.files, written.manifest)


async def test_every_partition_has_a_file_and_the_manifest_lists_them_all(s3: S3Harness) -> None:
    tape = tape_of("", "$pageview", "x/" * 200)
    destination = make(s3)
    written = await destination.write(tape.play(), target_of(destination))
    keys = [file.key for file in written.files]
    assert keys[:2] == [
        f"{s3.prefix}/event=__HIVE_DEFAULT_PARTITION__/{WINDOW}.jsonl",
        f"{s3.prefix}/event=%24pageview/{WINDOW}.jsonl",
    ]
    assert written.manifest is not None
    assert written.manifest.key == f"{s3.prefix}/{WINDOW}_manifest.json"
    visible = await s3.visible()
    assert visible.keys() == {*keys, written.manifest.key}
    assert [row for key in keys for row in read_file(visible[key], "JSONLines", None)] == tape.rows
    manifest = json.loads(visible[written.manifest.key])
    assert manifest["files"] == keys
    # Whole, where the folder's name is cut.
    assert [entry["partition"] for entry in manifest["entries"]] == [
        {"event": event} for event in ("", "$pageview", "x/" * 200)
    ]
    assert destination.first_keys(target_of(destination)) == [
        f"{s3.prefix}/event={{event}}/{WINDOW}.jsonl",
        written.manifest.key,
    ]


async def test_files_of_a_size_are_counted_within_their_partition(s3: S3Harness) -> None:
    files = await export(s3, "a", "a", "a", "b", max_file_size_mb=1)
    names = [file.key.removeprefix(f"{s3.prefix}/") for file in files]
    assert names == [
        *(f"event=a/{WINDOW}-{number}.jsonl" for number in range(3)),
        f"event=b/{WINDOW}-0.jsonl",
        f"{WINDOW}_manifest.json",
    ]


async def test_no_rows_leave_nothing_and_no_manifest(s3: S3Harness) -> None:
    destination = make(s3)
    written = await destination.write(tape_of().play(), target_of(destination))
    assert (written.files, written.manifest) == ((), None)
    assert await s3.visible() == {}


async def test_a_rerun_with_other_partitions_leaves_its_own_alone(s3: S3Harness) -> None:
    before = await export(s3, "a", "b", "c", max_file_size_mb=1)
    stale = tuple(file.key for file in before if "event=b/" not in file.key)
    destination = make(s3)
    fence = ScriptedFence(Earlier(stale, replaces=True))
    written = await destination.write(tape_of("b", "d").play(), target_of(destination, 2, fence))
    assert written.undeleted == ()
    expected = {f"{s3.prefix}/event={event}/{WINDOW}.jsonl" for event in "bd"}
    # What the run before had numbered is another's name by now, and not among what was said to be stale.
    assert (await s3.visible()).keys() == expected | {f"{s3.prefix}/event=b/{WINDOW}-0.jsonl"}


@pytest.mark.parametrize("held", [0, 1 << 20], ids=["sent before", "sent when committed"])
@pytest.mark.parametrize("point", [failpoints.ALL_SENT, failpoints.FILE_COMMITTED, failpoints.MANIFEST_COMMITTED])
async def test_a_first_run_that_is_cancelled_leaves_nothing(
    s3: S3Harness, monkeypatch: pytest.MonkeyPatch, point: str, held: int
) -> None:
    monkeypatch.setattr(objects, "HELD_BYTES", held)
    reached = asyncio.Event()

    async def hold(name: str) -> None:
        if name == point:
            reached.set()
            await asyncio.Event().wait()

    destination, tape = make(s3), tape_of(*(f"e{number:02}" for number in range(30)))
    failpoints.install(hold)
    try:
        writing = asyncio.create_task(destination.write(tape.play(), target_of(destination)))
        await asyncio.wait_for(reached.wait(), 30)
        writing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await writing
    finally:
        failpoints.install(None)
    await assert_nothing_left(s3, tape)


async def test_a_file_that_cannot_be_committed_takes_the_others_back(s3: S3Harness, proxy: S3Proxy) -> None:
    async def judge(request: Request) -> Verdict:
        denied = request.operation == "PutObject" and "event%3De05" in request.path
        return error(403, "AccessDenied") if denied else None

    proxy.judge = judge
    destination, tape = make(s3, endpoint_url=proxy.url), tape_of(*(f"e{number:02}" for number in range(12)))
    with pytest.raises(Misconfigured):
        await destination.write(tape.play(), target_of(destination))
    await assert_nothing_left(s3, tape)
    assert not any("_manifest" in request.path and request.method == "PUT" for request in proxy.seen)


@pytest.mark.parametrize("gently", [False, True], ids=["as fast as it may", "asked to slow down"])
async def test_small_files_are_few_requests_each_and_few_at_a_time(
    s3: S3Harness, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch, gently: bool
) -> None:
    monkeypatch.setattr(objects, "HELD_BYTES", 5 * 12_000)
    under_way = most = 0

    async def judge(request: Request) -> Verdict:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        return None

    def answered(request: Request) -> None:
        nonlocal under_way
        under_way -= 1

    proxy.judge, proxy.answered = judge, answered
    destination = make(s3, endpoint_url=proxy.url)
    tape = tape_of(*(f"e{number:02}" for number in range(24)))
    written = await destination.write(tape.play(), target_of(destination, gently=gently))
    assert len(written.files) == 24
    whole = sum(1 for file in written.files if file.bytes) - proxy.operations.count("CreateMultipartUpload")
    assert 5 <= whole <= 10
    # The manifest is one more; the list is of uploads that lost attempts may have left.
    assert proxy.operations.count("PutObject") == whole + 1
    assert proxy.operations.count("UploadPart") == proxy.operations.count("CompleteMultipartUpload") == 24 - whole
    assert proxy.operations.count("HeadObject") == 25
    assert proxy.operations.count("ListMultipartUploads") == 1
    assert most == 1 if gently else 2 <= most <= 8
    puts = [request.path for request in proxy.seen if request.operation == "PutObject"]
    assert puts[-1].endswith("_manifest.json")


async def test_uploads_of_lost_attempts_are_aborted_and_no_other_exports(s3: S3Harness) -> None:
    lost = f"{s3.prefix}/event=a/{WINDOW}-7.jsonl"
    others = [
        f"{s3.prefix}/event=zzz/{WINDOW}.jsonl",
        f"{s3.prefix}/event=a/{WINDOW}.parquet",
        f"{s3.prefix}/event=a/{WINDOW.replace('01:00', '02:00')}.jsonl",
    ]
    async with s3.client() as client:
        for key in (lost, *others):
            await client.create_multipart_upload(Bucket=s3.bucket, Key=key)
    await export(s3, "a", "b", epoch=2)
    assert sorted(await s3.unfinished()) == sorted(others)


async def test_what_lies_in_a_windows_partitions_is_found_and_nothing_else(s3: S3Harness) -> None:
    files = await export(s3, "a", "b/c")
    beside = f"{s3.prefix}/event=gone/{WINDOW}-0.jsonl"
    async with s3.client() as client:
        for key in (beside, f"{s3.prefix}/event=a/{WINDOW}.txt", f"{s3.prefix}/event=a/x/{WINDOW}.jsonl"):
            await client.put_object(Bucket=s3.bucket, Key=key, Body=b"x")
    destination = make(s3)
    async with destination.stored() as stored:
        found = await stored.keys(target_of(destination))
    assert found is not None
    assert set(found) == {beside, *(file.key for file in files)}
