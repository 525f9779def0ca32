"""Signatures of requests whose bodies have been digested before.

A request's signature covers the SHA-256 of its body. The SDK digests a body on the event loop, which a large one would
hold up for tens of milliseconds; ours are digested on a thread, and the SDK is told the result.
"""

from typing import TYPE_CHECKING, Any, Final

from botocore.auth import AUTH_TYPE_MAPS, S3SigV4Auth

from app.destinations.objects.body import Body

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client  # stubs: no part of an installation

USUAL: Final = ("v4", "s3v4")
"""The SDK's names for signatures of version 4, as S3 wants them: without an operation's own choice, and with it."""
WITH_DIGEST: Final = "s3v4-with-digest"
"""Ours for the same signatures."""


class WithDigest(S3SigV4Auth):
    def payload(self, request: Any) -> str:
        if isinstance(request.body, Body) and request.body.sha256 is not None:
            return request.body.sha256
        return str(super().payload(request))


AUTH_TYPE_MAPS[WITH_DIGEST] = WithDigest


def use_digests(client: "S3Client") -> None:
    """Sign with the digests that bodies have (:meth:`app.destinations.objects.body.Body.digest`)."""
    client.meta.events.register_first("choose-signer.s3", _choose)  # type: ignore[arg-type]  # it may answer


def _choose(signature_version: Any, **_: Any) -> str | None:
    # Others stay: those of pre-signed URLs, which have no body, and those of buckets that have their own.
    return WITH_DIGEST if signature_version in USUAL else None
