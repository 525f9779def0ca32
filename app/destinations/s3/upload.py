"""Putting files into a bucket: everything is sent first, and becomes visible only when all of it is there.

A file is sent in parts as it is encoded, a few parts at a time, so memory is bounded whatever its size. The upload is
completed by :meth:`Upload.commit`; until then the store lists nothing.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from app.destinations.s3.errors import LOST, NotS3, may_have_worked
from app.errors import DataError, Transient
from app.streams import see_through

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client  # stubs: no part of an installation

MIB: Final = 1024 * 1024
PART_BYTES: Final = 16 * MIB
"""Of the first parts. Large enough that a request's latency does not count."""
PARTS_PER_SIZE: Final = 2000
"""Parts double in size after so many: the ceiling of 10,000 parts then lies at about a terabyte."""
MAX_PARTS: Final = 10_000
"""S3's own limit."""
PARTS_IN_FLIGHT: Final = 3
"""Per run. With the part that is being gathered they hold 64 MiB, which two runs in 512 MiB can afford."""
CLEAN_UP_LIMIT: Final = 10.0
"""Seconds that cleaning up after a failed write may take, or that a cancelled one may put off its end, so as not to
leave a request half-done. What is left after that is an upload that nobody sees."""
ATTEMPT_KEY: Final = "batch-exports-attempt"
"""Metadata on every object: which attempt wrote it. Tells a commit whose answer was lost from one that failed."""


def part_bytes(number: int) -> int:
    """How large part ``number`` (from 1) is, unless it is the last."""
    return PART_BYTES << ((number - 1) // PARTS_PER_SIZE)


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket, and what every object in it is created with (encryption, say)."""

    client: "S3Client"
    name: str
    extra: Mapping[str, Any]
    attempt: str
    slots: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(PARTS_IN_FLIGHT))

    def create_arguments(self, key: str) -> dict[str, Any]:
        return {"Bucket": self.name, "Key": key, "Metadata": {ATTEMPT_KEY: self.attempt}, **self.extra}


@dataclass(frozen=True, slots=True)
class Seen:
    """What the store shows under a key."""

    size: int
    attempt: str | None


class Upload:
    """One file on its way. ``add`` until it is whole, then ``commit``; ``abort`` and ``retract`` leave nothing."""

    def __init__(self, bucket: Bucket, key: str, parts: asyncio.TaskGroup | None) -> None:
        self.key = key
        self.rows = 0
        self.bytes = 0
        self._bucket = bucket
        self._tasks = parts
        self._gathered = bytearray()
        self._upload_id: str | None = None
        self._number = 0
        self._etags: dict[int, str] = {}
        self._sent = 0
        self._begun = False
        self._acknowledged = False

    @classmethod
    def of_whole(cls, bucket: Bucket, key: str, data: bytes) -> "Upload":
        """A small file, sent in one piece by its commit."""
        upload = cls(bucket, key, None)
        upload.bytes = len(data)
        upload._gathered += data
        return upload

    async def add(self, data: bytes, rows: int) -> None:
        """Waits while too many parts are in flight: that is the backpressure."""
        self.rows += rows
        self.bytes += len(data)
        self._gathered += data
        while len(self._gathered) >= (size := part_bytes(self._number + 1)):
            part = bytes(memoryview(self._gathered)[:size])
            del self._gathered[:size]
            await self._send(part)

    async def send_rest(self, *, alone: bool) -> None:
        """Nothing more comes. A file below the size of one part that is ``alone`` waits for its commit; others are
        sent now, so that many small files do not gather in memory."""
        if self._upload_id is not None or not alone:
            if self._gathered or self._number == 0:
                await self._send(bytes(self._gathered))
            self._gathered.clear()

    async def commit(self) -> None:
        """Make the file visible, and see that it is all there.

        :raises Transient: when the store holds another size than was sent.
        """
        self._begun = True
        try:
            if self._upload_id is None:
                arguments = self._bucket.create_arguments(self.key)
                answer = await self._bucket.client.put_object(**arguments, Body=bytes(self._gathered))
                value_of(answer, "ETag")
            else:
                await self._complete(self._upload_id)
        except LOST as error:
            self._begun = may_have_worked(error)
            if not self._begun or not await self._is_there():
                raise
        else:
            self._acknowledged = True
            seen = await self._look()
            if seen is not None and seen.size != self.bytes:
                raise Transient(f"object '{self.key}' is not in bucket '{self._bucket.name}' as it was sent")
        self._upload_id = None

    async def retract(self) -> None:
        """Take back what was committed, and nothing that another attempt has put there. Errors are the caller's to
        ignore."""
        if self._begun and (self._acknowledged or await self._is_there()):
            await self._bucket.client.delete_object(Bucket=self._bucket.name, Key=self.key)

    async def abort(self) -> None:
        """Leave nothing behind. Errors are the caller's to ignore."""
        if self._upload_id is not None:
            await self._bucket.client.abort_multipart_upload(
                Bucket=self._bucket.name, Key=self.key, UploadId=self._upload_id
            )
            self._upload_id = None

    async def _send(self, part: bytes) -> None:
        if self._number == MAX_PARTS:
            raise DataError(f"'{self.key}' needs more than {MAX_PARTS} parts; set 'max_file_size_mb'")
        if self._upload_id is None:
            # Seen through: an upload whose id nobody learned could never be aborted.
            await see_through(self._create(), CLEAN_UP_LIMIT)
        assert self._tasks is not None
        assert self._upload_id is not None
        self._number += 1
        await self._bucket.slots.acquire()
        self._tasks.create_task(self._send_part(self._upload_id, self._number, part))

    async def _create(self) -> None:
        created = await self._bucket.client.create_multipart_upload(**self._bucket.create_arguments(self.key))
        self._upload_id = value_of(created, "UploadId")

    async def _send_part(self, upload_id: str, number: int, part: bytes) -> None:
        try:
            answer = await self._bucket.client.upload_part(
                Bucket=self._bucket.name, Key=self.key, UploadId=upload_id, PartNumber=number, Body=part
            )
            self._etags[number] = value_of(answer, "ETag")
            self._sent += len(part)
        finally:
            self._bucket.slots.release()

    async def _complete(self, upload_id: str) -> None:
        numbers = sorted(self._etags)
        assert numbers == list(range(1, self._number + 1)), f"parts {numbers} of {self._number}"
        assert self._sent == self.bytes, f"{self._sent} bytes sent of {self.bytes}"
        answer = await self._bucket.client.complete_multipart_upload(
            Bucket=self._bucket.name,
            Key=self.key,
            UploadId=upload_id,
            MultipartUpload={"Parts": [{"PartNumber": number, "ETag": self._etags[number]} for number in numbers]},
        )
        value_of(answer, "ETag")

    async def _is_there(self) -> bool:
        """Whether the store shows this very file, and not one that another attempt has put in its place."""
        try:
            async with asyncio.timeout(CLEAN_UP_LIMIT):
                seen = await self._look()
        except LOST:
            return False
        return seen == Seen(self.bytes, self._bucket.attempt)

    async def _look(self) -> Seen | None:
        """None: the access key may write only, so that nothing can be seen."""
        try:
            head = await self._bucket.client.head_object(Bucket=self._bucket.name, Key=self.key)
        except ClientError as error:
            match error.response.get("ResponseMetadata", {}).get("HTTPStatusCode"):
                case 404:
                    return Seen(-1, None)
                case 403:
                    return None
            raise
        return Seen(head["ContentLength"], head["Metadata"].get(ATTEMPT_KEY))


def value_of(answer: Mapping[str, Any], name: str) -> str:
    value = answer.get(name)
    if not value:
        raise NotS3(name)
    return str(value)
