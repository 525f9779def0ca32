"""From batches to files: where one ends and the next begins."""

import asyncio
import threading
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from app.destinations.files import FORMAT_COMPRESSIONS
from app.errors import DataError, Defect
from app.formats import FORMATS, jsonl, partitions
from app.formats.base import encode_files
from app.formats.partitions import Partitioner
from app.streams import Chunk, Partition
from tests.destinations.rows import SCHEMA, as_stream, collect, make_batch, make_tape, read_file
from tests.factories import utc


async def encode(
    batches: Sequence[pa.RecordBatch], file_format: str = "JSONLines", max_file_bytes: int | None = None
) -> list[Chunk]:
    return await collect(encode_files(as_stream(*batches), FORMATS[file_format], SCHEMA, None, max_file_bytes))


@pytest.mark.parametrize("file_format", FORMATS)
async def test_without_a_limit_there_is_one_file(file_format: str) -> None:
    batches = [make_batch(number * 10, 10) for number in range(5)]
    chunks = await encode(batches, file_format)
    assert {chunk.file for chunk in chunks} == {0}
    assert [chunk.end is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert sum(chunk.rows for chunk in chunks) == 50
    assert len(read_file(b"".join(chunk.data for chunk in chunks), file_format, None)) == 50


@pytest.mark.parametrize("file_format", FORMATS)
async def test_a_file_ends_once_it_has_reached_the_limit(file_format: str) -> None:
    batches = [make_batch(number * 10, 10, size=1000) for number in range(9)]
    chunks = await encode(batches, file_format, max_file_bytes=30_000)
    files = sorted({chunk.file for chunk in chunks})
    assert files == list(range(len(files)))
    assert len(files) >= 3
    rows = []
    for number in files:
        of_file = [chunk for chunk in chunks if chunk.file == number]
        assert [chunk.end is not None for chunk in of_file] == [False] * (len(of_file) - 1) + [True]
        data = b"".join(chunk.data for chunk in of_file)
        assert len(data) >= 30_000 or number == files[-1]
        assert len(data) < 60_000
        found = read_file(data, file_format, None)
        assert len(found) == sum(chunk.rows for chunk in of_file)
        rows += found
    assert rows == pa.Table.from_batches(batches).to_pylist()


@pytest.mark.parametrize("file_format", FORMATS)
async def test_no_rows_make_no_files(file_format: str) -> None:
    assert await encode([], file_format) == []
    assert await encode([make_batch(0, 0), make_batch(0, 0)], file_format, max_file_bytes=1000) == []


async def test_a_limit_met_by_the_last_batch_leaves_no_empty_file() -> None:
    chunks = await encode([make_batch(0, 10)], max_file_bytes=1)
    assert [(chunk.file, chunk.rows, chunk.end is not None) for chunk in chunks] == [(0, 10, True)]


async def test_all_of_it_is_encoded_by_one_thread_which_then_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []

    def encode_lines(batch: pa.RecordBatch, schema: pa.Schema) -> memoryview:
        threads.append(threading.current_thread())
        return encoded(batch, schema)

    encoded = jsonl.encode_lines
    monkeypatch.setattr(jsonl, "encode_lines", encode_lines)
    await encode([make_batch(number * 10, 10) for number in range(5)])
    assert len(threads) == 5
    assert set(threads) == {threads[0]} != {threading.main_thread()}
    await asyncio.to_thread(threads[0].join)


async def test_closing_early_closes_the_batches() -> None:
    tape = make_tape()
    chunks = encode_files(tape.play(), FORMATS["JSONLines"], SCHEMA, None, None)
    await anext(chunks)
    assert tape.open
    await chunks.aclose()
    assert not tape.open


async def test_an_encoder_that_fails_closes_the_batches() -> None:
    tape = make_tape()
    fewer_columns = pa.schema(list(SCHEMA)[:3])
    with pytest.raises(ValueError):
        await collect(encode_files(tape.play(), FORMATS["Parquet"], fewer_columns, None, None))
    assert not tape.open


def test_every_compression_of_the_contract_can_be_written_and_no_other_is_accepted() -> None:
    assert {name: set(fmt.compressions) for name, fmt in FORMATS.items()} == {
        name: set(compressions) for name, compressions in FORMAT_COMPRESSIONS.items()
    }
    assert all(codec in fmt.suffixes for fmt in FORMATS.values() for codec in fmt.compressions)
    assert all(fmt.name == name for name, fmt in FORMATS.items())


def make_sorted(*runs: tuple[str, datetime, int], size: int = 100) -> pa.RecordBatch:
    """Events as a source sorts them: name, time, and how many of them."""
    rows = [
        {**row, "event": event, "timestamp": moment}
        for number, (event, moment, count) in enumerate(runs)
        for row in make_batch(number * 1000, count, size).to_pylist()
    ]
    return pa.RecordBatch.from_pylist(rows, schema=SCHEMA)


def by_both() -> Partitioner:
    return Partitioner({"event": SCHEMA.get_field_index("event"), "date": SCHEMA.get_field_index("timestamp")})


async def partitioned(
    *batches: pa.RecordBatch, file_format: str = "JSONLines", max_file_bytes: int | None = None
) -> list[tuple[int, Partition, list[dict[str, Any]]]]:
    """Of each file its number, its partition and its rows."""
    encoding = encode_files(as_stream(*batches), FORMATS[file_format], SCHEMA, None, max_file_bytes, by_both())
    chunks = await collect(encoding)
    files = []
    for number in range(chunks[-1].file + 1):
        own = [chunk for chunk in chunks if chunk.file == number]
        [partition] = {chunk.partition for chunk in own}
        assert [chunk.end is not None for chunk in own] == [False] * (len(own) - 1) + [True]
        rows = read_file(b"".join(chunk.data for chunk in own), file_format, None)
        assert sum(chunk.rows for chunk in own) == len(rows)
        times = [row["timestamp"] for row in rows]
        assert (own[-1].end.min_timestamp, own[-1].end.max_timestamp) == (min(times), max(times))
        files.append((number, partition, rows))
    return files


MIDNIGHT = utc(2026, 11, 28)
BEFORE = MIDNIGHT - timedelta(microseconds=1)


@pytest.mark.parametrize("file_format", FORMATS)
async def test_a_new_file_begins_where_the_partition_changes(file_format: str) -> None:
    first = make_sorted(("", MIDNIGHT, 1), ("a", utc(1969, 12, 31, 23), 2), ("a", BEFORE, 3))
    second = make_sorted(("a", BEFORE, 4), ("a", MIDNIGHT, 5), ("b", MIDNIGHT, 6))
    third = make_sorted(("b", MIDNIGHT, 7))
    files = await partitioned(first, make_batch(0, 0), second, third, file_format=file_format)
    assert [(dict(partition), len(rows)) for _, partition, rows in files] == [
        ({"event": "", "date": "2026-11-28"}, 1),
        ({"event": "a", "date": "1969-12-31"}, 2),
        ({"event": "a", "date": "2026-11-27"}, 7),
        ({"event": "a", "date": "2026-11-28"}, 5),
        ({"event": "b", "date": "2026-11-28"}, 13),
    ]
    rows = [row for _, _, rows in files for row in rows]
    assert rows == pa.Table.from_batches([first, second, third]).to_pylist()


async def test_a_partition_has_more_files_only_where_one_has_reached_the_limit() -> None:
    batches = [make_sorted(("a", MIDNIGHT, 10), size=1000) for _ in range(6)]
    files = await partitioned(*batches, make_sorted(("b", MIDNIGHT, 1)), max_file_bytes=25_000)
    assert [dict(partition)["event"] for _, partition, _ in files] == ["a", "a", "a", "b"]


async def test_more_partitions_than_there_may_be_are_refused_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions, "MOST_PARTITIONS", 3)
    runs = [(f"e{number}", MIDNIGHT, 1) for number in range(4)]
    assert len(await partitioned(make_sorted(*runs[:3]))) == 3
    with pytest.raises(DataError, match=r"more than 3 partitions by \{event\} and \{date\}\. Leave one of these out"):
        await partitioned(make_sorted(*runs))


async def test_rows_that_are_not_sorted_are_never_written_over_others() -> None:
    with pytest.raises(Defect, match="has not sorted"):
        await partitioned(make_sorted(("a", MIDNIGHT, 1), ("b", MIDNIGHT, 1)), make_sorted(("a", MIDNIGHT, 1)))


def test_days_beyond_every_calendar_are_partitions_all_the_same() -> None:
    times = pa.array([-(2**63), -377711769600000000, 253402300800000000, 2**63 - 1], pa.timestamp("us", tz="UTC"))
    batch = pa.record_batch({"timestamp": times})
    days = [dict(partition)["date"] for partition, _ in Partitioner({"date": 0})(batch)]
    assert days == ["-106751992", "-10000-10-16", "10000-01-01", "106751991"]
