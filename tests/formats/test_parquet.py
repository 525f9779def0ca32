"""Parquet: the contract's types exactly, and files that readers can skip through."""

import io
import json
import tracemalloc
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.formats import parquet
from app.formats.parquet import Parquet
from tests.destinations.rows import SCHEMA, make_batch

CODECS = {"zstd": "ZSTD", "lz4": "LZ4", "snappy": "SNAPPY", "gzip": "GZIP", "brotli": "BROTLI", None: "UNCOMPRESSED"}


def encode(*batches: pa.RecordBatch, compression: str | None = None, max_bytes: int | None = None) -> bytes:
    encoder = Parquet().open(batches[0].schema, compression, max_bytes)
    return b"".join([*(encoder.encode(batch) for batch in batches), encoder.finish()])


def opened(data: bytes) -> pq.ParquetFile:
    return pq.ParquetFile(io.BytesIO(data))


def test_types_are_the_contracts() -> None:
    schema = opened(encode(make_batch(0, 3))).schema_arrow
    moment, text = pa.timestamp("us", tz="UTC"), pa.string()
    assert dict(zip(schema.names, schema.types, strict=True)) == {
        "uuid": text,
        "event": text,
        "properties": text,
        "distinct_id": text,
        "person_id": text,
        "person_properties": text,
        "elements_chain": text,
        "timestamp": moment,
        "created_at": moment,
        "_inserted_at": moment,
    }


def test_times_are_utc_to_any_reader() -> None:
    kind = json.loads(opened(encode(make_batch(0, 3))).schema.column(7).logical_type.to_json())
    assert (kind["Type"], kind["isAdjustedToUTC"], kind["timeUnit"]) == ("Timestamp", True, "microseconds")


def test_our_marks_are_not_in_the_file() -> None:
    data = encode(make_batch(0, 3))
    schema = opened(data).schema_arrow
    assert not schema.metadata
    assert [b"batch_exports" in str(field.metadata).encode() for field in schema] == [False] * len(schema)
    assert b"batch_exports" not in data


@pytest.mark.parametrize("compression", CODECS)
def test_every_batch_comes_back_equal_with_every_codec(compression: str | None) -> None:
    batches = [make_batch(0, 100), make_batch(100, 1), make_batch(101, 50).slice(10, 20)]
    data = encode(*batches, compression=compression)
    assert pq.read_table(io.BytesIO(data)).to_pylist() == pa.Table.from_batches(batches).to_pylist()
    group = opened(data).metadata.row_group(0)
    codecs = {group.column(index).compression for index in range(group.num_columns)}
    assert codecs == {CODECS[compression]}


def test_small_batches_are_gathered_into_one_row_group() -> None:
    assert opened(encode(*(make_batch(number, 1) for number in range(50)))).metadata.num_row_groups == 1


def test_a_row_group_is_written_as_soon_as_it_is_large_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_BYTES", 30_000)
    batches = [make_batch(number * 20, 20, size=1000) for number in range(6)]
    encoder = Parquet().open(SCHEMA, None)
    pieces = [encoder.encode(batch) for batch in batches]
    assert [bool(piece) for piece in pieces] == [False, True] * 3
    metadata = opened(b"".join([*pieces, encoder.finish()])).metadata
    assert [metadata.row_group(index).num_rows for index in range(metadata.num_row_groups)] == [40, 40, 40]


def test_row_groups_of_small_files_are_small() -> None:
    """Otherwise a file of a megabyte would gather for long before its size is known."""
    batches = [make_batch(number * 20, 20, size=1000) for number in range(6)]
    assert opened(encode(*batches, max_bytes=60_000)).metadata.num_row_groups == 3


def test_extreme_times_come_back_equal() -> None:
    moments = [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC), None]
    batch = pa.RecordBatch.from_arrays([pa.array(moments, pa.timestamp("us", tz="UTC"))], ["moment"])
    assert pq.read_table(io.BytesIO(encode(batch))).column(0).to_pylist() == moments


def test_rows_never_become_python_objects() -> None:
    """A hundred thousand rows, and hardly any memory of Python's own: these rows compress to next to nothing."""
    batch = pa.Table.from_batches([make_batch(0, 1)] * 100_000).combine_chunks().to_batches()[0]
    encoder = Parquet().open(SCHEMA, "zstd")
    tracemalloc.start()
    try:
        data = b"".join((encoder.encode(batch), encoder.finish()))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert opened(data).metadata.num_rows == 100_000
    assert peak < 2_000_000
