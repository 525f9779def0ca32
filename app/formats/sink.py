"""The file that encoders of libraries write to, emptied as it fills."""

import io


class Sink(io.RawIOBase):
    """Only grows, as its writer sees it; what is ready is taken out behind it, so little is ever held."""

    def __init__(self) -> None:
        super().__init__()
        self._ready: list[bytes] = []
        self._length = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        piece = bytes(memoryview(data))  # type: ignore[arg-type]
        self._ready.append(piece)
        self._length += len(piece)
        return len(piece)

    def tell(self) -> int:
        """The length of all that was ever written: Parquet's footer holds offsets into the whole file."""
        return self._length

    def take(self) -> bytes:
        """What has been written since the last time."""
        ready, self._ready = b"".join(self._ready), []
        return ready
