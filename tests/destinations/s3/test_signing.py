"""What covers the bodies of requests: digests, and that the event loop does not wait for them."""

import hashlib
import threading
from typing import Any

import pytest

from app.destinations.objects import upload
from app.destinations.objects.body import Body
from app.destinations.s3.signing import WithDigest
from tests.destinations.harness import S3Harness, make_target
from tests.destinations.rows import Tape, make_batch
from tests.destinations.s3_proxy import S3Proxy


async def test_each_request_is_signed_with_the_digest_of_its_body_which_a_thread_has_taken(
    s3: S3Harness, proxy: S3Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upload, "PART_BYTES", 5 * 1024 * 1024)
    threads, asked = [], []

    def digest(body: Body) -> None:
        threads.append(threading.current_thread())
        taken(body)

    def payload(signer: WithDigest, request: Any) -> str:
        if isinstance(request.body, Body):
            asked.append(request.body.sha256)
        return answered(signer, request)

    taken, answered = Body.digest, WithDigest.payload
    monkeypatch.setattr(Body, "digest", digest)
    monkeypatch.setattr(WithDigest, "payload", payload)
    destination = s3.make(endpoint_url=proxy.url)
    tape = Tape([make_batch(first, 1, size=1024 * 1024) for first in range(6)])
    await destination.write(tape.play(), make_target(destination))

    sent = [request for request in proxy.seen if request.operation == "UploadPart"]
    assert len(sent) > 1
    digests = [hashlib.sha256(request.body).hexdigest() for request in sent]
    assert [request.headers["x-amz-content-sha256"] for request in sent] == digests
    assert sorted(digest for digest in asked if digest) == sorted(digests)
    assert len(threads) == len(sent)
    assert threading.main_thread() not in threads
