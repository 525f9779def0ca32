"""An S3 server that throws everything away: ``python -m benchmarks.s3_sink PORT``.

So that what is measured is the exporter and not an emulator: the system drops bodies without copying them. It remembers
only sizes and metadata, which an exporter asks for; it checks nothing.
"""

import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any, cast
from urllib.parse import parse_qs

BUFFER_BYTES = 1024 * 1024
METADATA = "x-amz-meta-"
CREATED = b"<InitiateMultipartUploadResult><UploadId>1</UploadId></InitiateMultipartUploadResult>"
COMPLETED = b'<CompleteMultipartUploadResult><ETag>"0"</ETag></CompleteMultipartUploadResult>'
EMPTY = b"<ListBucketResult><Name>sink</Name><KeyCount>0</KeyCount></ListBucketResult>"


@dataclass
class Objects:
    """What is remembered of them."""

    sizes: dict[str, int] = field(default_factory=dict)
    metadata: dict[str, Mapping[str, str]] = field(default_factory=dict)
    lock: Lock = field(default_factory=Lock)
    """Every connection has a thread."""

    def ignores(self, headers: Message) -> bool:
        """Whether a request is never answered."""
        return False


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, objects: Objects, port: int) -> None:
        super().__init__(("127.0.0.1", port), Connection)
        self.objects = objects


class Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def _request(self) -> None:
        objects = cast("Server", self.server).objects
        size = int(self.headers.get("content-length", 0))
        self._discard(size)
        with objects.lock:
            if not objects.ignores(self.headers):
                self._serve(objects, size)

    do_DELETE = do_GET = do_HEAD = do_POST = do_PUT = _request  # noqa: N815  the library's names

    def _serve(self, objects: Objects, size: int) -> None:
        path, _, text = self.path.partition("?")
        query = parse_qs(text, keep_blank_values=True)
        if self.command == "DELETE":
            self._answer()
        elif self.command == "HEAD":
            self._answer({"Content-Length": str(objects.sizes.get(path, 0)), **objects.metadata.get(path, {})})
        elif "partNumber" in query:
            objects.sizes[path] += size
            self._answer()
        elif "uploadId" in query:
            self._answer(body=COMPLETED)
        elif self.command == "GET":
            self._answer(body=EMPTY)
        else:
            objects.sizes[path] = size
            objects.metadata[path] = {
                name: of for name, of in self.headers.items() if name.lower().startswith(METADATA)
            }
            self._answer(body=CREATED if "uploads" in query else b"")

    def _discard(self, size: int) -> None:
        """What has come with the head, and then the rest, which the system drops (``tcp(7)``, ``MSG_TRUNC``)."""
        if size:
            size -= len(self.rfile.read(min(size, len(cast("Any", self.rfile).peek()))))
        scratch = bytearray(min(size, BUFFER_BYTES))
        while size:
            dropped = self.connection.recv_into(scratch, min(size, BUFFER_BYTES), socket.MSG_TRUNC)
            if not dropped:
                raise ConnectionError("the client has gone")
            size -= dropped

    def _answer(self, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
        self.send_response(200)
        for name, value in {"ETag": '"0"', "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the library's name
        """Nothing."""


@contextmanager
def listening(objects: Objects) -> Iterator[int]:
    """Serves from a thread; the port."""
    with Server(objects, 0) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def main(arguments: Sequence[str]) -> None:
    Server(Objects(), int(arguments[0])).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1:])
