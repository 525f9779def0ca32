"""A bucket, as one attempt at a run sees it: what is there, and requests that change it only if it is still so.

An attempt that was asleep for longer than its lease may wake right before a request. Its last check came before that,
so the request itself says what it expects to find: nothing, or the very object that was seen while the run was surely
this attempt's. A store that knows conditional requests refuses it otherwise; of others nothing more can be had than the
check.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from botocore.exceptions import ClientError

from app.destinations.s3.errors import NotS3, is_conflict, is_gone, is_unknown_condition

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client  # stubs: no part of an installation

PARTS_IN_FLIGHT: Final = 3
"""Per run. With the part that is being gathered they hold 32 MiB, which two runs in 512 MiB can afford."""
ATTEMPT_KEY: Final = "batch-exports-attempt"
"""Metadata on every object: which attempt wrote it. Tells a commit whose answer was lost from one that failed."""
Changing = Literal["put_object", "complete_multipart_upload", "delete_object"]
"""Requests whose effect others see."""
CHANGING: Final = frozenset({"PutObject", "CompleteMultipartUpload", "DeleteObject"})
"""The same, by the names that the SDK's events have for them."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What the store shows under a key."""

    size: int
    attempt: str | None
    etag: str

    def is_of(self, attempt: str) -> bool:
        """Whether that attempt wrote it (``<run id>/<epoch>``), or any of that run (``<run id>/``)."""
        written_by = self.attempt or ""
        return written_by.startswith(attempt) if attempt.endswith("/") else written_by == attempt


NOTHING: Final = Seen(-1, None, "")
HIDDEN: Final = Seen(-2, None, "")
"""The access key may write only, so nothing can be seen."""


@dataclass(slots=True)
class Bucket:
    """A bucket, and what every object in it is created with (encryption, say)."""

    client: "S3Client"
    name: str
    extra: Mapping[str, Any]
    attempt: str
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PARTS_IN_FLIGHT))
    _unconditional: set[Changing] = field(default_factory=set)
    """Requests to which this store refuses to take conditions."""

    def create_arguments(self, key: str) -> dict[str, Any]:
        return {"Bucket": self.name, "Key": key, "Metadata": {ATTEMPT_KEY: self.attempt}, **self.extra}

    async def look(self, key: str) -> Seen:
        try:
            head = await self.client.head_object(Bucket=self.name, Key=key)
        except ClientError as error:
            match error.response.get("ResponseMetadata", {}).get("HTTPStatusCode"):
                case 404:
                    return NOTHING
                case 403:
                    return HIDDEN
            raise
        return Seen(head["ContentLength"], head["Metadata"].get(ATTEMPT_KEY), head.get("ETag", ""))

    async def delete(self, key: str, seen: Seen) -> None:
        """Delete what was seen; nothing that has taken its place since, unless it is the same to the last byte: a store
        tells objects apart by what is in them."""
        condition = {"IfMatch": seen.etag} if seen.etag else {}
        try:
            await self.change("delete_object", condition, Bucket=self.name, Key=key)
        except ClientError as error:
            if not is_conflict(error) and not is_gone(error):
                raise

    async def change(self, request: Changing, condition: Mapping[str, str], **arguments: Any) -> Mapping[str, Any]:
        """Make a request on a condition, or without where the store does not know of conditions."""
        send = getattr(self.client, request)
        if request not in self._unconditional:
            try:
                return await send(**arguments, **condition)  # type: ignore[no-any-return]
            except ClientError as error:
                if not condition or not is_unknown_condition(error):
                    raise
            self._unconditional.add(request)
        return await send(**arguments)  # type: ignore[no-any-return]


def value_of(answer: Mapping[str, Any], name: str) -> str:
    value = answer.get(name)
    if not value:
        raise NotS3(name)
    return str(value)
