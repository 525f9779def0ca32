"""JSON Lines, read back: one column, a block of lines at a time, so memory is bounded by the longest line."""

import gzip
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, Final
from zlib import error as ZlibError  # noqa: N812  an exception, whatever its name

import brotli
import msgspec

from app.formats.base import Unreadable

BLOCK_BYTES: Final = 1024 * 1024
"""Of text, that is split into lines at once."""
INPUT_BYTES: Final = 64 * 1024
"""Of compressed data, that is read at once."""


def read_values(path: Path, compression: str | None, column: str | None) -> Iterator[Sequence[str | None]]:
    """See :meth:`app.formats.base.Format.values`."""
    # Only the one column is made; whatever else is in a line is skipped over.
    row: Any = msgspec.defstruct("Row", [])
    if column is not None:
        row = msgspec.defstruct("Row", [("value", str | None)], rename={"value": column})
    decoder = msgspec.json.Decoder(row)
    try:
        with closing(_lines(_READERS[compression](path))) as blocks:
            for block in blocks:
                rows = decoder.decode_lines(block)
                yield [one.value for one in rows] if column is not None else [None] * len(rows)
    except (msgspec.MsgspecError, UnicodeDecodeError, OSError, EOFError, ZlibError, brotli.error) as error:
        raise Unreadable(type(error).__name__) from None


def _lines(blocks: Iterator[bytes]) -> Generator[bytes, None, None]:
    """The same text, cut behind line breaks."""
    pending = bytearray()
    for block in blocks:
        end = block.rfind(b"\n") + 1
        if end:
            yield bytes(pending) + block[:end]
            pending.clear()
        pending += block[end:]
    if pending:
        # Every line that was written whole has its end.
        raise EOFError


def _plain(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block


def _gzip(path: Path) -> Iterator[bytes]:
    with gzip.open(path) as file:
        while block := file.read(BLOCK_BYTES):
            yield block


def _brotli(path: Path) -> Iterator[bytes]:
    decompressor: Any = brotli.Decompressor()
    with path.open("rb") as file:
        while True:
            data = file.read(INPUT_BYTES) if decompressor.can_accept_more_data() else b""
            # A limit on what comes out: a little input may stand for a lot of text.
            block = decompressor.process(data, output_buffer_limit=BLOCK_BYTES)
            if block:
                yield block
            elif decompressor.is_finished():
                return
            elif not data and decompressor.can_accept_more_data():
                raise EOFError


_READERS: Final[Mapping[str | None, Callable[[Path], Iterator[bytes]]]] = {
    None: _plain,
    "gzip": _gzip,
    "brotli": _brotli,
}
