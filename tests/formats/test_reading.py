"""A column of a file, read back from disk, whatever the format and the compression."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from app.formats import FORMATS, jsonl_reading
from app.formats.base import Unreadable
from app.streams import json_field

CASES = [(name, codec) for name, fmt in FORMATS.items() for codec in (None, *fmt.compressions)]
SCHEMA = pa.schema([json_field("properties"), pa.field("uuid", pa.string()), pa.field("other", pa.string())])
PROPERTIES = (
    '{"uuid": "not this one", "deep": [[[{"a": [1e400, 18446744073709551616]}]]]}',
    '{"text": "line\\nbreak \\u2028 \\ud83d\\ude00 🦔"}',
    "null",
    None,
)


def write(path: Path, name: str, codec: str | None, batches: int = 3, rows: int = 1000, pad: str = "") -> list[str]:
    """A file of so many rows; its uuids."""
    encoder = FORMATS[name].open(SCHEMA, codec)
    uuids: list[str] = []
    with path.open("wb") as file:
        for batch in range(batches):
            own = [f"{batch:08x}-0000-0000-0000-{row:012x}" for row in range(rows)]
            uuids += own
            columns: list[Any] = [
                pa.array([PROPERTIES[row % len(PROPERTIES)] for row in range(rows)]),
                pa.array(own),
                pa.array([pad or None] * rows, pa.string()),
            ]
            file.write(encoder.encode(pa.RecordBatch.from_arrays(columns, schema=SCHEMA)))
        file.write(encoder.finish())
    return uuids


def values(path: Path, name: str, codec: str | None, column: str = "uuid") -> list[str | None]:
    return [value for block in FORMATS[name].values(path, codec, column) for value in block]


@pytest.mark.parametrize(("name", "codec"), CASES)
def test_what_was_written_is_read_back_in_order(tmp_path: Path, name: str, codec: str | None) -> None:
    path = tmp_path / "file"
    uuids = write(path, name, codec)
    assert values(path, name, codec) == uuids
    assert values(path, name, codec, "other") == [None] * len(uuids)


@pytest.mark.parametrize(("name", "codec"), CASES)
@pytest.mark.parametrize("damage", ["cut short", "garbage", "empty", "another column"])
def test_a_file_that_is_not_what_was_written_is_told(tmp_path: Path, name: str, codec: str | None, damage: str) -> None:
    path = tmp_path / "file"
    write(path, name, codec)
    data = path.read_bytes()
    column = "uuid"
    match damage:
        case "cut short":
            path.write_bytes(data[: len(data) // 2 - 3])
        case "garbage":
            path.write_bytes(b"hush" * 1000)
        case "empty":
            path.write_bytes(b"")
        case _:
            column = "nothing"
    if damage == "empty" and name == "JSONLines" and codec in (None, "gzip"):
        # For these, nothing is a file of no rows.
        assert values(path, name, codec) == []
        return
    with pytest.raises(Unreadable) as raised:
        values(path, name, codec, column)
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize(("name", "codec"), CASES)
def test_memory_does_not_grow_with_the_file(
    tmp_path: Path, name: str, codec: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Text that compresses to next to nothing comes out a block at a time."""
    monkeypatch.setattr(jsonl_reading, "BLOCK_BYTES", 64 * 1024)
    path = tmp_path / "file"
    write(path, name, codec, batches=30, rows=500, pad="x" * 2000)  # 30 MB
    tracemalloc.start()
    try:
        rows = sum(len(block) for block in FORMATS[name].values(path, codec, "uuid"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert rows == 15_000
    assert peak < 5_000_000


def test_a_line_longer_than_a_block(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl_reading, "BLOCK_BYTES", 10)
    path = tmp_path / "file"
    path.write_text("".join(json.dumps({"uuid": str(number), "pad": "x" * 100}) + "\n" for number in range(5)))
    assert values(path, "JSONLines", None) == list("01234")
