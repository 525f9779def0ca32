"""How files get into a bucket: in one piece or in bounded parts, and under the names that the contract gives them."""

import asyncio
import hashlib
import json
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.destinations.objects import store, upload
from app.destinations.s3.config import S3Config
from app.embedded import Stack
from app.errors import DataError
from tests.destinations.harness import RUN_ID, S3Harness, make_target
from tests.destinations.rows import START, Tape, make_batch, make_tape, read_file
from tests.destinations.s3_proxy import Request, S3Proxy, Verdict

NAME = "2026-03-01T00:00:00+00:00-2026-03-01T01:00:00+00:00"
SMALLEST_PART = 5 * 1024 * 1024
"""That a store takes, but for the last one."""


def large_tape() -> Tape:
    """About 22 MiB as JSON Lines."""
    return Tape([make_batch(first, 1, size=1024 * 1024) for first in range(22)])


async def test_a_small_file_is_one_put(s3: S3Harness, proxy: S3Proxy) -> None:
    destination = s3.make(endpoint_url=proxy.url)
    await destination.write(make_tape().play(), make_target(destination))
    assert proxy.operations == ["PutObject", "HeadObject"]
    assert list(await s3.visible()) == [f"{s3.prefix}/{NAME}.jsonl"]


async def test_an_empty_window_only_sees_that_the_store_answers(s3: S3Harness, proxy: S3Proxy) -> None:
    destination = s3.make(endpoint_url=proxy.url)
    await destination.write(make_tape(batches=0).play(), make_target(destination))
    assert proxy.operations == ["ListObjectsV2"]


async def test_a_large_file_is_sent_in_parts_of_which_few_are_in_flight(
    s3: S3Harness, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "PART_BYTES", SMALLEST_PART)
    tape = large_tape()
    arrived, answered, peak = 0, 0, 0
    slots_full = asyncio.Event()

    async def judge(request: Request) -> Verdict:
        nonlocal arrived, peak
        if request.operation == "UploadPart":
            arrived += 1
            peak = max(peak, arrived - answered)
            # Nothing is read ahead of the parts that are under way, and one that is being gathered.
            assert tape.pulled <= 6 * (answered + store.PARTS_IN_FLIGHT + 1)
            if arrived == store.PARTS_IN_FLIGHT:
                slots_full.set()
            await slots_full.wait()
        return None

    def count(request: Request) -> None:
        nonlocal answered
        answered += request.operation == "UploadPart"

    proxy.judge, proxy.answered = judge, count
    destination = s3.make(endpoint_url=proxy.url)
    written = await destination.write(tape.play(), make_target(destination))

    sent = [request for request in proxy.seen if request.operation == "UploadPart"]
    assert sorted(request.part or 0 for request in sent) == [1, 2, 3, 4, 5]
    assert sorted(len(request.body) for request in sent)[1:] == [SMALLEST_PART] * 4
    assert peak == store.PARTS_IN_FLIGHT
    assert proxy.operations[-2:] == ["CompleteMultipartUpload", "HeadObject"]
    [(key, data)] = (await s3.visible()).items()
    assert written.files[0].key == key
    assert written.bytes == len(data)
    assert read_file(data, "JSONLines", None) == tape.rows


async def test_more_parts_than_a_store_takes_is_an_error_that_says_what_to_do(
    s3: S3Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "PART_BYTES", 1000)
    monkeypatch.setattr(upload, "MAX_PARTS", 3)
    destination = s3.make()
    with pytest.raises(DataError, match="max_file_size_mb"):
        await destination.write(make_tape(size=2000).play(), make_target(destination))
    assert (await s3.visible(), await s3.unfinished()) == ({}, [])


async def test_a_numbered_file_ends_before_it_has_more_parts_than_a_store_takes(
    s3: S3Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "PART_BYTES", SMALLEST_PART)
    monkeypatch.setattr(upload, "MAX_PARTS", 2)
    destination = s3.make(max_file_size_mb=1000)
    tape = large_tape()
    written = await destination.write(tape.play(), make_target(destination))
    assert len(written.files) == 3
    assert max(file.bytes for file in written.files) <= 2 * SMALLEST_PART
    visible = await s3.visible()
    assert [row for file in written.files for row in read_file(visible[file.key], "JSONLines", None)] == tape.rows


async def test_a_store_that_asked_to_slow_down_gets_one_part_at_a_time(
    s3: S3Harness, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "PART_BYTES", SMALLEST_PART)
    under_way = 0

    async def judge(request: Request) -> Verdict:
        nonlocal under_way
        if request.operation == "UploadPart":
            under_way += 1
            assert under_way == 1
        return None

    def count(request: Request) -> None:
        nonlocal under_way
        under_way -= request.operation == "UploadPart"

    proxy.judge, proxy.answered = judge, count
    destination = s3.make(endpoint_url=proxy.url)
    written = await destination.write(large_tape().play(), make_target(destination, gently=True))
    assert proxy.operations.count("UploadPart") == 5
    assert written.rows == 22


def test_parts_grow_so_that_the_ceiling_is_far_away() -> None:
    whole = sum(upload.part_bytes(number) for number in range(1, upload.MAX_PARTS + 1))
    assert whole > 450 * 1024**3
    assert upload.part_bytes(1) == upload.PART_BYTES


@pytest.mark.parametrize(
    ("config", "extension"),
    [
        ({}, "jsonl"),
        ({"compression": "gzip"}, "jsonl.gz"),
        ({"compression": "brotli"}, "jsonl.br"),
        ({"file_format": "Parquet"}, "parquet"),
        ({"file_format": "Parquet", "compression": "zstd"}, "parquet"),
        ({"file_format": "Parquet", "compression": "zstd", "legacy_parquet_extension": True}, "parquet.zst"),
        ({"file_format": "Parquet", "compression": "lz4", "legacy_parquet_extension": True}, "parquet.lz4"),
        ({"file_format": "Parquet", "compression": "snappy", "legacy_parquet_extension": True}, "parquet.sz"),
    ],
)
async def test_the_name_tells_format_and_codec(s3: S3Harness, config: dict[str, Any], extension: str) -> None:
    destination = s3.make(**config)
    written = await destination.write(make_tape().play(), make_target(destination))
    assert [file.key for file in written.files] == [f"{s3.prefix}/{NAME}.{extension}"]


async def test_files_of_bounded_size_are_numbered_and_the_manifest_comes_last(s3: S3Harness, proxy: S3Proxy) -> None:
    destination = s3.make(endpoint_url=proxy.url, max_file_size_mb=1)
    tape = make_tape(batches=5)
    written = await destination.write(tape.play(), make_target(destination, max_file_bytes=6000))

    keys = [f"{s3.prefix}/{NAME}-{number}.jsonl" for number in range(len(written.files))]
    assert len(keys) > 2
    assert [file.key for file in written.files] == keys
    visible = await s3.visible()
    assert written.manifest is not None
    manifest = visible.pop(f"{s3.prefix}/{NAME}_manifest.json")
    assert (written.manifest.key, written.manifest.bytes) == (f"{s3.prefix}/{NAME}_manifest.json", len(manifest))
    assert written.manifest.sha256 == hashlib.sha256(manifest).hexdigest()
    assert json.loads(manifest) == {
        "files": keys,
        "run_id": str(RUN_ID),
        "model": "events",
        "data_interval_start": "2026-03-01T00:00:00+00:00",
        "data_interval_end": "2026-03-01T01:00:00+00:00",
        "rows": len(tape.rows),
        "bytes": written.bytes,
        "entries": [
            {
                "key": file.key,
                "rows": file.rows,
                "bytes": file.bytes,
                "sha256": hashlib.sha256(visible[file.key]).hexdigest(),
                "min_timestamp": _least(visible[file.key]),
                "max_timestamp": _greatest(visible[file.key]),
            }
            for file in written.files
        ],
    }
    assert [row for key in keys for row in read_file(visible[key], "JSONLines", None)] == tape.rows
    assert {file.key: (file.rows, file.bytes) for file in written.files} == {
        key: (len(data.splitlines()), len(data)) for key, data in visible.items()
    }
    writes = [request for request in proxy.seen if request.operation in ("PutObject", "CompleteMultipartUpload")]
    assert writes[-1].path.endswith("_manifest.json")


def _moments(data: bytes) -> list[datetime]:
    return [row["timestamp"] for row in read_file(data, "JSONLines", None)]


def _least(data: bytes) -> str:
    return min(_moments(data)).isoformat()


def _greatest(data: bytes) -> str:
    return max(_moments(data)).isoformat()


async def test_one_file_is_numbered_too_when_a_size_is_set(s3: S3Harness) -> None:
    destination = s3.make(max_file_size_mb=1)
    written = await destination.write(make_tape().play(), make_target(destination, max_file_bytes=1_000_000))
    assert [file.key for file in written.files] == [f"{s3.prefix}/{NAME}-0.jsonl"]


async def test_an_empty_window_has_no_manifest(s3: S3Harness) -> None:
    destination = s3.make(max_file_size_mb=1)
    await destination.write(make_tape(batches=0).play(), make_target(destination, max_file_bytes=1_000_000))
    assert await s3.visible() == {}


async def test_prefix_variables_come_from_the_end_of_the_window(s3: S3Harness) -> None:
    s3.prefix = f"/{s3.prefix}//{{year}}/{{month}}/{{day}}/{{table}}/"
    destination = s3.make()
    target = make_target(destination, end=START + timedelta(days=1))
    [file] = (await destination.write(make_tape().play(), target)).files
    assert file.key.endswith("/2026/03/02/events/2026-03-01T00:00:00+00:00-2026-03-02T00:00:00+00:00.jsonl")
    assert not file.key.startswith("/")
    assert "//" not in file.key


def test_printing_a_config_shows_no_credentials(stack: Stack) -> None:
    config = S3Config(**stack.s3, prefix="p")
    shown = f"{config} {config!r} {[config]}"
    assert stack.s3["aws_secret_access_key"] not in shown
    assert stack.s3["aws_access_key_id"] not in shown
