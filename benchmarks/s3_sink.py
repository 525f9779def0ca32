"""An S3 server that throws everything away: ``python -m benchmarks.s3_sink PORT``.

So that what is measured is the exporter and not an emulator. It remembers only sizes and metadata, which an exporter
asks for; it checks nothing.
"""

import sys
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

import uvicorn

Message = MutableMapping[str, Any]
METADATA = b"x-amz-meta-"


class Sink:
    def __init__(self) -> None:
        self._sizes: dict[str, int] = {}
        self._metadata: dict[str, list[tuple[bytes, bytes]]] = {}

    async def __call__(
        self, scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
    ) -> None:
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message.get("more_body", False)
        path, query = scope["path"], parse_qs(scope["query_string"].decode(), keep_blank_values=True)
        headers, body = self._answer(scope, path, query, size)
        headers = [*headers, (b"content-type", b"application/xml")]
        if scope["method"] != "HEAD":
            headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def _answer(
        self, scope: Message, path: str, query: dict[str, list[str]], size: int
    ) -> tuple[list[tuple[bytes, bytes]], bytes]:
        etag = (b"etag", b'"0"')
        method = scope["method"]
        if method == "HEAD":
            length = (b"content-length", str(self._sizes.get(path, 0)).encode())
            return [etag, length, *self._metadata.get(path, [])], b""
        if "partNumber" in query:
            self._sizes[path] += size
            return [etag], b""
        if method == "PUT" or "uploads" in query:
            self._sizes[path] = size
            self._metadata[path] = [(name, value) for name, value in scope["headers"] if name.startswith(METADATA)]
        if "uploads" in query:
            return [], b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
        if "uploadId" in query:
            return [], b'<CompleteMultipartUploadResult><ETag>"0"</ETag></CompleteMultipartUploadResult>'
        return [etag], b""


if __name__ == "__main__":
    uvicorn.run(Sink(), host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", lifespan="off", ws="none")
