"""What is sent to a store, in the pieces in which it was encoded.

Copying is what a large export does most, next to encoding itself, so bytes are not copied to make one block of a part.
"""

import asyncio
import hashlib
import io
from collections.abc import Iterable, Iterator
from typing import Any, Final

from aiohttp import Payload, payload_type
from aiohttp.abc import AbstractStreamWriter

from app.streams import Data

AT_ONCE: Final = 256 * 1024
"""Bytes that are handed to a socket before others on the event loop have their turn."""


class Body:
    """Some bytes, in pieces; they do not change, and are read as often as a client likes.

    To those who sign requests it is a file that can be read and sought; aiohttp sends it as :class:`BodyPayload`.
    """

    def __init__(self, pieces: Iterable[Data]) -> None:
        self._pieces = [memoryview(piece) for piece in pieces if piece]
        self._size = sum(map(len, self._pieces))
        self._position = 0
        self.sha256: str | None = None
        """In hexadecimal digits, once :meth:`digest` has been called."""

    def digest(self) -> None:
        """Takes a while with a large body: for a thread."""
        digest = hashlib.sha256()
        for piece in self._pieces:
            digest.update(piece)
        self.sha256 = digest.hexdigest()

    def __len__(self) -> int:
        return self._size

    def __bytes__(self) -> bytes:
        return b"".join(self._pieces)

    def __iter__(self) -> Iterator[memoryview]:
        """All of it, wherever :meth:`read` has come to."""
        return iter(self._pieces)

    def read(self, size: int = -1) -> Data:
        """At most ``size`` bytes, and less than there are where a piece ends; ``b""`` only at the end."""
        if size < 0:
            rest = bytes(self)[self._position :]
            self._position = self._size
            return rest
        start = self._position
        for piece in self._pieces:
            if start < len(piece):
                found = piece[start : start + size]
                self._position += len(found)
                return found
            start -= len(piece)
        return b""

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """:raises ValueError: for a place before the beginning."""
        position = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if position < 0:
            raise ValueError(f"there is no byte {position}")
        self._position = position
        return position

    def tell(self) -> int:
        return self._position


@payload_type(Body)
class BodyPayload(Payload):
    """A body as aiohttp sends it; again, if need be."""

    _value: Body

    def __init__(self, value: Body, *args: Any, **kwargs: Any) -> None:
        super().__init__(value, *args, **kwargs)
        self._size = len(value)

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        return bytes(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        for piece in self._value:
            for start in range(0, len(piece), AT_ONCE):
                await writer.write(piece[start : start + AT_ONCE])
                await asyncio.sleep(0)


class Gathered:
    """Bytes that wait to become bodies, first come, first taken."""

    def __init__(self) -> None:
        self._pieces: list[memoryview] = []
        self.size = 0

    def add(self, data: Data) -> None:
        self._pieces.append(memoryview(data))
        self.size += len(data)

    def take(self, size: int) -> Body:
        """The first ``size`` bytes, which are there."""
        taken: list[memoryview] = []
        self.size -= size
        while size:
            piece = self._pieces.pop(0)
            if len(piece) > size:
                self._pieces.insert(0, piece[size:])
                piece = piece[:size]
            taken.append(piece)
            size -= len(piece)
        return Body(taken)

    def whole(self) -> Body:
        """All of it, which stays."""
        return Body(self._pieces)
