"""The S3 server's process: ``python -m app.embedded.s3_server DIRECTORY PORT``.

moto keeps objects in memory. Around it, this program loads them from the directory at the start and writes every object
that a request has changed there, before the answer leaves; and it refuses access keys other than its own, as S3 does.
STS is answered too, for roles: its own key may assume any, and the session's key is as good as its own while it lasts.
"""

import hashlib
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import parse_qs, unquote
from uuid import uuid4

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.moto_server.werkzeug_app import create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import WSGIRequestHandler, make_server

from app.embedded.s3 import BUCKET, REGION
from app.embedded.state import LOOPBACK

CREDENTIAL = re.compile(r"Credential=([^/]+)/[^/]+/[^/]+/([^/]+)/")
Respond = Callable[..., Any]


class Mirror:
    """The objects on disk: one file of bytes and one of names for each, for keys may be anything."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = Lock()
        self._backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        self._stored: dict[str, dict[str, tuple[Any, str]]] = {}
        """By bucket and key: the object that is on disk, and its files' name."""

    def load(self) -> None:
        self._backend.create_bucket(BUCKET, REGION)
        # Oldest first: should the server have been killed between writing a key's new files and removing the old ones,
        # the new ones win.
        for record in sorted(self._directory.glob("*/*.json"), key=lambda path: path.stat().st_mtime_ns):
            names = json.loads(record.read_text())
            bucket, key = names["bucket"], names["key"]
            if bucket not in self._backend.buckets:
                self._backend.create_bucket(bucket, REGION)
            data = record.with_suffix(".data").read_bytes()
            stored = self._backend.put_object(bucket, key, data, disable_notification=True)
            stored.set_metadata(names["metadata"])
            known = self._stored.setdefault(bucket, {})
            self._remove(record.parent, known.get(key))
            known[key] = (stored, record.stem)

    def update(self, bucket: str) -> None:
        """Make the directory hold what the bucket holds."""
        with self._lock:
            folder = self._directory / hashlib.sha256(bucket.encode()).hexdigest()[:32]
            folder.mkdir(exist_ok=True)
            stored = self._stored.setdefault(bucket, {})
            held = self._backend.buckets[bucket].keys if bucket in self._backend.buckets else {}
            for key in list(held):
                before = stored.get(key)
                item = held.get(key)
                if item is None or (before is not None and item is before[0]):
                    continue
                # A key that is written again gets new files, so that the old ones stay whole until these are.
                with suppress(ValueError):  # replaced at this very moment; the request that did it comes next
                    stored[key] = (item, self._write(folder, bucket, key, item))
                    self._remove(folder, before)
            for key in stored.keys() - held.keys():
                self._remove(folder, stored.pop(key))

    def _write(self, folder: Path, bucket: str, key: str, item: Any) -> str:
        name = uuid4().hex
        (folder / f"{name}.data").write_bytes(item.value)
        names = {"bucket": bucket, "key": key, "metadata": dict(item.metadata)}
        draft = folder / f"{name}.draft"
        draft.write_text(json.dumps(names))
        draft.replace(folder / f"{name}.json")
        return name

    def _remove(self, folder: Path, stored: tuple[Any, str] | None) -> None:
        if stored is not None:
            (folder / f"{stored[1]}.json").unlink(missing_ok=True)
            (folder / f"{stored[1]}.data").unlink(missing_ok=True)


class Application:
    def __init__(self, mirror: Mirror, access_key_id: str) -> None:
        # Moto's own choice among its hundreds of services, by the request, takes a fifth of the time of each.
        self._s3 = create_backend_app("s3")
        self._mirror = mirror
        self._backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
        self._access_key_id = access_key_id

    def __call__(self, environ: dict[str, Any], start_response: Respond) -> Iterable[bytes]:
        key, service, token = _signed_by(environ)
        if (refusal := self._refusal(key, token)) is not None:
            return self._refuse(environ, start_response, *refusal, service=service)
        if service == "sts":
            return [b"".join(self._sts(environ, start_response))]
        if (broken := self._broken_rule(environ)) is not None:
            # Read all the same: what is left of a request would pass for the next one.
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            return self._refuse(environ, start_response, *broken)
        body = b"".join(self._s3(environ, start_response))
        if environ["REQUEST_METHOD"] in ("PUT", "POST", "DELETE"):
            bucket = unquote(environ["PATH_INFO"]).lstrip("/").split("/", 1)[0]
            self._mirror.update(bucket)
        return [body]

    @cached_property
    def _sts(self) -> Any:
        return create_backend_app("sts")  # a tenth of a second, that only exports by role need

    def _refuse(
        self, environ: dict[str, Any], start_response: Respond, status: str, code: str, *, service: str | None = "s3"
    ) -> Iterable[bytes]:
        error = f"<Error><Code>{code}</Code></Error>"
        if service == "sts":  # which has another name for it, and a document around it
            error = f"<ErrorResponse>{error.replace('InvalidAccessKeyId', 'InvalidClientTokenId')}</ErrorResponse>"
        body = f'<?xml version="1.0" encoding="UTF-8"?>{error}'.encode()
        start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _broken_rule(self, environ: dict[str, Any]) -> tuple[str, str] | None:
        """Status and code for parts and completions that S3 refuses and moto does not: of uploads that are not there
        any more, and with an ``If-Match`` that does not."""
        upload_id = parse_qs(environ.get("QUERY_STRING", "")).get("uploadId", [""])[0]
        if not upload_id or environ["REQUEST_METHOD"] not in ("PUT", "POST"):
            return None
        bucket, _, key = environ["PATH_INFO"].encode("latin-1").decode().lstrip("/").partition("/")
        found = self._backend.buckets.get(bucket)
        if found is None:
            return None
        there = found.keys.get(key)
        done = there is not None and there.multipart is not None and there.multipart.id == upload_id
        if upload_id not in found.multiparts and not done:
            return "404 Not Found", "NoSuchUpload"
        wanted = environ.get("HTTP_IF_MATCH")
        if wanted is None or environ["REQUEST_METHOD"] != "POST" or done:
            return None
        if there is None:
            return "404 Not Found", "NoSuchKey"
        return None if wanted.strip('"') == there.etag.strip('"') else ("412 Precondition Failed", "PreconditionFailed")

    def _refusal(self, key: str | None, token: str | None) -> tuple[str, str] | None:
        """Status and code for credentials that are not our own, nor of a session that we have given out."""
        if key is None:
            return "403 Forbidden", "AccessDenied"
        if key == self._access_key_id and token is None:
            return None
        if (session := _session(key)) is None:
            return "403 Forbidden", "InvalidAccessKeyId"
        if token != session.session_token:
            return "400 Bad Request", "InvalidToken"
        over = session.expiration.replace(tzinfo=UTC) <= datetime.now(UTC)
        return ("400 Bad Request", "ExpiredToken") if over else None


def _signed_by(environ: dict[str, Any]) -> tuple[str | None, str | None, str | None]:
    """Access key, service and session token of a request."""
    signed = environ.get("HTTP_AUTHORIZATION") or unquote(environ.get("QUERY_STRING", ""))
    found = CREDENTIAL.search(signed)
    in_query = parse_qs(environ.get("QUERY_STRING", "")).get("X-Amz-Security-Token", [None])[0]
    return *(found.groups() if found is not None else (None, None)), environ.get("HTTP_X_AMZ_SECURITY_TOKEN", in_query)


def _session(key: str) -> Any:
    """What moto remembers of a session whose key this is."""
    from moto.sts.models import sts_backends  # a tenth of a second, that only exports by role need

    found = (backend["aws"].get_assumed_role_from_access_key(key) for backend in list(sts_backends.values()))
    return next((session for session in found if session is not None), None)


class _Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # the SDKs wait for "100 Continue", which 1.0 does not have

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Requests are the client's to log."""


def main() -> None:
    directory, port = Path(sys.argv[1]), int(sys.argv[2])
    mirror = Mirror(directory)
    mirror.load()
    application = Application(mirror, (directory / "access_key_id").read_text())
    server = make_server(LOOPBACK, port, application, threaded=True, request_handler=_Quiet)
    pid_file = directory / "s3.pid"
    pid_file.write_text(str(os.getpid()))

    def stop(*_: object) -> None:
        raise SystemExit

    signal.signal(signal.SIGTERM, stop)
    try:
        server.serve_forever()
    finally:
        pid_file.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
