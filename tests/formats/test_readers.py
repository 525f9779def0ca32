"""Parquet as its readers see it: three of them, none of which is the other's code, find the same rows, and find what
lets them pass over the rest."""

import io
import random
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.formats import parquet
from app.formats.parquet import Parquet
from tests.destinations.rows import SCHEMA, START, make_batch

Rows = list[dict[str, Any]]
CODECS = ("zstd", "lz4", "snappy", "gzip", "brotli", None)


def write(path: Path, *batches: pa.RecordBatch, compression: str | None = "zstd") -> pq.ParquetFile:
    encoder = Parquet().open(batches[0].schema, compression)
    path.write_bytes(b"".join([*(encoder.encode(batch) for batch in batches), encoder.finish()]))
    return pq.ParquetFile(io.BytesIO(path.read_bytes()))


def by_pyarrow(path: Path) -> Rows:
    return pq.read_table(path).to_pylist()


def by_duckdb(path: Path) -> Rows:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        read = connection.execute("SELECT * FROM read_parquet(?)", [str(path)])
        names = [column[0] for column in read.description or []]
        return [dict(zip(names, row, strict=True)) for row in read.fetchall()]


def by_polars(path: Path) -> Rows:
    return polars.read_parquet(path).to_dicts()


READERS: Mapping[str, Callable[[Path], Rows]] = {"pyarrow": by_pyarrow, "DuckDB": by_duckdb, "Polars": by_polars}


def shuffled(batch: pa.RecordBatch, seed: int) -> pa.RecordBatch:
    places = list(range(batch.num_rows))
    random.Random(seed).shuffle(places)
    return batch.take(pa.array(places))


def in_utc(rows: Rows) -> Rows:
    """Readers have their own classes for the same time zone."""
    return [
        {name: value.astimezone(UTC) if isinstance(value, datetime) else value for name, value in row.items()}
        for row in rows
    ]


@pytest.mark.parametrize("compression", CODECS)
def test_every_reader_finds_the_same_rows(tmp_path: Path, compression: str | None) -> None:
    batches = [shuffled(make_batch(0, 500), 1), shuffled(make_batch(500, 500), 2)]
    write(tmp_path / "events.parquet", *batches, compression=compression)
    expected = sorted(pa.Table.from_batches(batches).to_pylist(), key=lambda row: (row["timestamp"], row["uuid"]))
    for name, read in READERS.items():
        rows = in_utc(read(tmp_path / "events.parquet"))
        assert sorted(rows, key=lambda row: (row["timestamp"], row["uuid"])) == in_utc(expected), name


def test_rows_are_sorted_by_when_they_happened_and_the_file_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_BYTES", 100_000)
    file = write(tmp_path / "events.parquet", *(shuffled(make_batch(n * 100, 100, size=500), n) for n in range(6)))
    assert file.metadata.num_row_groups >= 2
    for number in range(file.metadata.num_row_groups):
        times: list[Any] = file.read_row_group(number).column("timestamp").to_pylist()
        assert times == sorted(times)
        declared = file.metadata.row_group(number).sorting_columns
        assert [(one.column_index, one.descending) for one in declared] == [(SCHEMA.names.index("timestamp"), False)]


def test_rows_of_one_moment_stay_in_their_order(tmp_path: Path) -> None:
    batch = make_batch(0, 50)
    same = batch.set_column(
        SCHEMA.names.index("timestamp"),
        SCHEMA.field("timestamp"),
        pa.array([START + timedelta(seconds=(row + 1) % 2) for row in range(50)], pa.timestamp("us", tz="UTC")),
    )
    write(tmp_path / "events.parquet", same)
    uuids = batch.column("uuid").to_pylist()
    assert [row["uuid"] for row in by_pyarrow(tmp_path / "events.parquet")] == [*uuids[1::2], *uuids[::2]]


def test_readers_pass_over_what_they_do_not_ask_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP_BYTES", 100_000)
    file = write(tmp_path / "events.parquet", *(make_batch(n * 100, 100, size=500) for n in range(6)))
    column = SCHEMA.names.index("timestamp")
    bounds: list[tuple[Any, Any]] = [
        (statistics.min, statistics.max)
        for number in range(file.metadata.num_row_groups)
        if (statistics := file.metadata.row_group(number).column(column).statistics) is not None
    ]
    assert len(bounds) == file.metadata.num_row_groups >= 2
    assert all(before < after for (_, before), (after, _) in pairwise(bounds))
    assert file.metadata.row_group(0).column(column).has_column_index
    assert file.metadata.row_group(0).column(column).has_offset_index


def test_what_comes_again_has_a_dictionary_and_json_has_neither_that_nor_statistics(tmp_path: Path) -> None:
    group = write(tmp_path / "events.parquet", make_batch(0, 1000)).metadata.row_group(0)
    columns = {group.column(index).path_in_schema: group.column(index) for index in range(group.num_columns)}
    dictionaries = {name for name, column in columns.items() if column.has_dictionary_page}
    assert dictionaries == {"event", "distinct_id", "person_id", "elements_chain"}
    assert {name for name, column in columns.items() if column.statistics is None} == {
        "properties",
        "person_properties",
    }
