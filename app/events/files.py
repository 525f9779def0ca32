"""Files of JSON Lines: plain, gzip or Zstandard, told by their first bytes; ``-`` is standard input."""

import io
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import pyarrow as pa

from app.errors import SetupError
from app.events.parse import MAX_LINE_BYTES

if TYPE_CHECKING:
    from typing_extensions import Buffer

STDIN = "-"
READ_BYTES = 1024 * 1024
MAGIC: Mapping[Literal["gzip", "zstd"], bytes] = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class LineFile:
    """An open file of lines. ``size`` and :meth:`position` are of the file as it is stored, for progress."""

    def __init__(self, name: str, stored: IO[bytes], size: int | None) -> None:
        self.name = name
        self.size = size
        self._counted = _Counted(stored)
        buffered = io.BufferedReader(self._counted, READ_BYTES)
        codec = next((name for name, magic in MAGIC.items() if buffered.peek(4).startswith(magic)), None)
        # Arrow's streams, because they tell a file that was cut off from one that ended, and read members and frames
        # that follow one another, as `cat a.gz b.gz` makes them.
        self._lines: Any = pa.CompressedInputStream(pa.PythonFile(buffered, "r"), codec) if codec else buffered

    @property
    def position(self) -> int:
        return self._counted.count

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Every line with its number, from 1, without its end. A line beyond the limit comes cut, one byte too long.

        :raises SetupError: when the file cannot be read on; the lines before are whole.
        """
        number, rest, skipping = 1, b"", False
        try:
            while data := self._lines.read(READ_BYTES):
                *whole, rest = (rest + data).split(b"\n")
                for line in whole:
                    if not skipping:
                        yield number, _trimmed(line, number)
                    number, skipping = number + 1, False
                if skipping:
                    rest = b""
                elif len(rest) > MAX_LINE_BYTES:
                    yield number, rest[: MAX_LINE_BYTES + 1]
                    rest, skipping = b"", True
        except OSError as error:
            raise SetupError(f"{self.name} cannot be read beyond line {number - 1}: {error}") from None
        if rest and not skipping:
            yield number, _trimmed(rest, number)


class _Counted(io.RawIOBase):
    """Counts what is read through it."""

    def __init__(self, stored: IO[bytes]) -> None:
        super().__init__()
        self._stored = stored
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "Buffer") -> int:
        view = memoryview(buffer)
        data = self._stored.read(len(view))
        view[: len(data)] = data
        self.count += len(data)
        return len(data)


def _trimmed(line: bytes, number: int) -> bytes:
    return line.removesuffix(b"\r").removeprefix(BYTE_ORDER_MARK if number == 1 else b"")


@contextmanager
def open_lines(path: str) -> Iterator[LineFile]:
    """:raises SetupError: when there is no such file, or it may not be read."""
    if path == STDIN:
        yield LineFile("standard input", sys.stdin.buffer, None)
        return
    try:
        stored = Path(path).open("rb")  # noqa: SIM115  closed below
    except OSError as error:
        raise SetupError(f"{path} cannot be read: {error.strerror}.") from None
    with stored:
        try:
            yield LineFile(path, stored, Path(path).stat().st_size or None)
        except IsADirectoryError:
            raise SetupError(f"{path} is a directory; name a file.") from None
