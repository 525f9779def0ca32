"""Files of lines, however they are compressed and wherever they end."""

import gzip
import io
from pathlib import Path

import pytest
import zstandard

from app.errors import SetupError
from app.events import files
from app.events.files import LineFile, open_lines

TEXT = b'{"a":1}\n{"b":2}\n\n{"c":3}'
LINES = [(1, b'{"a":1}'), (2, b'{"b":2}'), (3, b""), (4, b'{"c":3}')]


@pytest.mark.parametrize(
    "stored",
    [
        TEXT,
        gzip.compress(TEXT),
        gzip.compress(TEXT[:9]) + gzip.compress(TEXT[9:]),
        zstandard.compress(TEXT),
        zstandard.compress(TEXT[:9]) + zstandard.compress(TEXT[9:]),
    ],
    ids=["plain", "gzip", "two gzip members", "zstd", "two zstd frames"],
)
def test_lines_come_with_their_numbers(tmp_path: Path, stored: bytes) -> None:
    path = tmp_path / "events"
    path.write_bytes(stored)
    with open_lines(str(path)) as source:
        assert list(source.lines()) == LINES
        assert source.position == source.size == len(stored)


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.touch()
    with open_lines(str(path)) as source:
        assert list(source.lines()) == []


def test_windows_line_ends_and_a_byte_order_mark_are_no_part_of_a_line() -> None:
    source = LineFile("test", io.BytesIO(b"\xef\xbb\xbf{}\r\n{}\r\n"), None)
    assert list(source.lines()) == [(1, b"{}"), (2, b"{}")]


def test_lines_longer_than_a_read_stay_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "READ_BYTES", 3)
    source = LineFile("test", io.BytesIO(b"0123456789\nab\n"), None)
    assert list(source.lines()) == [(1, b"0123456789"), (2, b"ab")]


@pytest.mark.parametrize("tail", [b"\nnext\n", b"\n", b""])
def test_a_line_beyond_the_limit_is_cut_and_the_next_one_is_whole(monkeypatch: pytest.MonkeyPatch, tail: bytes) -> None:
    monkeypatch.setattr(files, "READ_BYTES", 8)
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 10)
    source = LineFile("test", io.BytesIO(b"first\n" + b"x" * 100 + tail), None)
    expected = [(1, b"first"), (2, b"x" * 11)] + ([(3, b"next")] if b"next" in tail else [])
    assert list(source.lines()) == expected


@pytest.mark.parametrize(
    "stored", [gzip.compress(TEXT * 100)[:-20], zstandard.compress(TEXT * 100)[:-3]], ids=["gzip", "zstd"]
)
def test_a_truncated_file_says_where_it_ends(stored: bytes) -> None:
    with pytest.raises(SetupError, match="cannot be read beyond line"):
        list(LineFile("events.gz", io.BytesIO(stored), None).lines())


@pytest.mark.parametrize(("name", "reason"), [("missing", "No such file"), (".", "directory")])
def test_what_cannot_be_opened_is_named(tmp_path: Path, name: str, reason: str) -> None:
    path = tmp_path / name
    with pytest.raises(SetupError, match=reason), open_lines(str(path)):
        pass
