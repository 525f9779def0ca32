"""From batches to files: where one ends and the next begins."""

from collections.abc import Sequence

import pyarrow as pa
import pytest

from app.destinations.files import FORMAT_COMPRESSIONS
from app.formats import FORMATS
from app.formats.base import encode_files
from app.streams import Chunk
from tests.destinations.rows import SCHEMA, as_stream, collect, make_batch, make_tape, read_file


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
