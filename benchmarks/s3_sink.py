"""An S3 server that throws everything away: ``python -m benchmarks.s3_sink PORT``.

So that what is measured is the exporter and not an emulator: bodies are read into one buffer and counted. It remembers
only sizes and metadata, which an exporter asks for; it checks nothing.
"""

import asyncio
import sys
from dataclasses import dataclass, field
from urllib.parse import parse_qs

BUFFER_BYTES = 1024 * 1024
METADATA = b"x-amz-meta-"
END_OF_HEAD = b"\r\n\r\n"


@dataclass
class Objects:
    """What is remembered of them."""

    sizes: dict[str, int] = field(default_factory=dict)
    metadata: dict[str, list[bytes]] = field(default_factory=dict)

    def ignores(self, headers: dict[bytes, bytes]) -> bool:
        """Whether a request is never answered."""
        return False


class Sink(asyncio.BufferedProtocol):
    """One connection."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._buffer = bytearray(BUFFER_BYTES)
        self._head = b""
        self._left = 0
        """Bytes of the body that are still to come."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def get_buffer(self, sizehint: int) -> bytearray:
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if nbytes < self._left:
            self._left -= nbytes
            return
        rest = bytes(self._buffer[self._left : nbytes])
        if self._left:
            self._left = 0
            self._transport.write(self._answer)
        self._head += rest
        while END_OF_HEAD in self._head:
            head, _, rest = self._head.partition(END_OF_HEAD)
            self._begin(head.split(b"\r\n"), len(rest))
            self._head = rest[self._size :] if self._left == 0 else b""

    def _begin(self, lines: list[bytes], there: int) -> None:
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in lines[1:])}
        method, target, _ = lines[0].decode().split(" ")
        path, _, query = target.partition("?")
        self._size = int(headers.get(b"content-length", 0))
        self._left = max(self._size - there, 0)
        self._answer = (
            b""
            if self._objects.ignores(headers)
            else self._answered(method, path, parse_qs(query, keep_blank_values=True), headers)
        )
        if headers.get(b"expect") and self._left:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if self._left == 0:
            self._transport.write(self._answer)

    def _answered(self, method: str, path: str, query: dict[str, list[str]], headers: dict[bytes, bytes]) -> bytes:
        sizes, metadata = self._objects.sizes, self._objects.metadata
        etag = b'ETag: "0"'
        if method == "HEAD":
            return _response([etag, b"Content-Length: %d" % sizes.get(path, 0), *metadata.get(path, [])])
        if "partNumber" in query:
            sizes[path] += self._size
            return _response([etag], b"")
        if method == "PUT" or "uploads" in query:
            sizes[path] = self._size
            metadata[path] = [name + b": " + value for name, value in headers.items() if name.startswith(METADATA)]
        if "uploads" in query:
            return _response(
                [], b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
            )
        if "uploadId" in query:
            return _response([], b'<CompleteMultipartUploadResult><ETag>"0"</ETag></CompleteMultipartUploadResult>')
        if method == "GET":
            return _response([], b"<ListBucketResult><Name>sink</Name><KeyCount>0</KeyCount></ListBucketResult>")
        return _response([etag], b"")


def _response(headers: list[bytes], body: bytes | None = None) -> bytes:
    length = [] if body is None else [b"Content-Length: %d" % len(body)]
    head = b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Type: application/xml", *headers, *length])
    return head + END_OF_HEAD + (body or b"")


async def listen(objects: Objects, port: int = 0) -> asyncio.Server:
    return await asyncio.get_running_loop().create_server(lambda: Sink(objects), "127.0.0.1", port)


async def main(port: int) -> None:
    await (await listen(Objects(), port)).serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
