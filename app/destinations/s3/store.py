"""An S3 bucket as an object store."""

import asyncio
import hashlib
import zlib
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from botocore.exceptions import ClientError

from app.destinations.base import Fetched
from app.destinations.objects.body import Body
from app.destinations.objects.store import ATTEMPT_KEY, HIDDEN, NOTHING, ObjectStore, Seen
from app.destinations.s3.errors import (
    LOST,
    NotS3,
    as_run_error,
    is_conflict,
    is_denied,
    is_gone,
    is_unknown_condition,
    may_have_worked,
)

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client  # stubs: no part of an installation

READ_BYTES: Final = 1024 * 1024
KEYS_AT_ONCE: Final = 1000
"""Of one answer to a listing: the most that S3 gives."""
Changing = Literal["put_object", "complete_multipart_upload", "delete_object"]
"""Requests whose effect others see."""
CHANGING: Final = frozenset({"PutObject", "CompleteMultipartUpload", "DeleteObject"})
"""The same, by the names that the SDK's events have for them."""


@dataclass(slots=True)
class Bucket(ObjectStore):
    """``extra``: what every object is created with (encryption, say).

    Amazon checks a checksum of each request on arrival and keeps it with the object, for whoever reads it later, so it
    is told one: a CRC-32, which it takes for whole objects and for parts and which costs next to nothing. It is in a
    header, known before the body is sent. Other stores are sent nothing that the protocol has not always had: each
    request is signed with the SHA-256 of its body anyway.
    """

    lost: ClassVar[tuple[type[Exception], ...]] = LOST
    may_not_delete: ClassVar[str] = "Permission s3:DeleteObject is missing, or a policy of the bucket denies it."

    client: "S3Client"
    extra: Mapping[str, Any] = field(default_factory=dict)
    checksums: bool = False
    _unconditional: set[Changing] = field(default_factory=set)
    """Requests to which this store refuses to take conditions."""

    async def probe(self, beginning: str) -> None:
        try:
            answer = await self.client.list_objects_v2(Bucket=self.name, Prefix=beginning, MaxKeys=1)
        except ClientError as error:
            # Those that may write only may not list; that the store says so, and not that it does not know them, is
            # enough.
            if not is_denied(error):
                raise
        else:
            value_of(answer, "Name")

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

    async def keys(self, beginning: str) -> Sequence[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(
            Bucket=self.name, Prefix=beginning, PaginationConfig={"PageSize": KEYS_AT_ONCE}
        )
        return [item["Key"] async for page in pages for item in page.get("Contents", [])]

    async def fetch(self, key: str, path: Path) -> Fetched | None:
        try:
            answer = await self.client.get_object(Bucket=self.name, Key=key)
        except ClientError as error:
            if is_gone(error):
                return None
            raise
        digest, size = hashlib.sha256(), 0
        with path.open("wb") as file:
            while data := await answer["Body"].read(READ_BYTES):
                size += len(data)
                await asyncio.to_thread(file.write, data)
                await asyncio.to_thread(digest.update, data)
        return Fetched(size, digest.hexdigest())

    async def put(self, key: str, data: Body, expected: Seen) -> str:
        body = await self._body(data)
        answer = await self._change("put_object", _condition(expected), **self._new(key), **body)
        return value_of(answer, "ETag")

    async def begin(self, key: str) -> str:
        algorithm: dict[str, Any] = {"ChecksumAlgorithm": "CRC32"} if self.checksums else {}
        return value_of(await self.client.create_multipart_upload(**self._new(key), **algorithm), "UploadId")

    async def send(self, key: str, upload: str, number: int, data: Body) -> str:
        body = await self._body(data)
        answer = await self.client.upload_part(Bucket=self.name, Key=key, UploadId=upload, PartNumber=number, **body)
        return " ".join([value_of(answer, "ETag"), *([body["ChecksumCRC32"]] if self.checksums else [])])

    async def complete(self, key: str, upload: str, parts: Sequence[str], expected: Seen) -> str:
        listed = {"Parts": [{"PartNumber": number, **self._part(part)} for number, part in enumerate(parts, 1)]}
        place = {"Bucket": self.name, "Key": key, "UploadId": upload}
        answer = await self._change("complete_multipart_upload", _condition(expected), **place, MultipartUpload=listed)
        return value_of(answer, "ETag")

    async def abort(self, key: str, upload: str) -> None:
        await self.client.abort_multipart_upload(Bucket=self.name, Key=key, UploadId=upload)

    async def uploads(self, beginning: str) -> Sequence[tuple[str, str]]:
        pages = self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.name, Prefix=beginning)
        return [(one["Key"], one["UploadId"]) async for page in pages for one in page.get("Uploads", [])]

    async def delete(self, key: str, seen: Seen) -> None:
        # What is the same to the last byte may be another's: a store tells objects apart by what is in them.
        condition = {"IfMatch": seen.etag} if seen.etag else {}
        try:
            await self._change("delete_object", condition, Bucket=self.name, Key=key)
        except ClientError as error:
            if not is_conflict(error) and not is_gone(error):
                raise

    def is_conflict(self, error: Exception) -> bool:
        return is_conflict(error)

    def is_denied(self, error: Exception) -> bool:
        return is_denied(error)

    def may_have_worked(self, error: Exception) -> bool:
        return may_have_worked(error)

    def run_error(self, error: Exception) -> Exception:
        return as_run_error(error, self.where)

    def _new(self, key: str) -> dict[str, Any]:
        return {"Bucket": self.name, "Key": key, "Metadata": {ATTEMPT_KEY: self.attempt}, **self.extra}

    async def _body(self, data: Body) -> dict[str, Any]:
        await asyncio.to_thread(data.digest)
        if not self.checksums:
            return {"Body": data}
        checksum = await asyncio.to_thread(_crc32, data)
        return {"Body": data, "ChecksumCRC32": b64encode(checksum.to_bytes(4, "big")).decode()}

    def _part(self, part: str) -> dict[str, str]:
        """Of what :meth:`send` named it by: its entity tag, and its checksum if it was sent with one."""
        if not self.checksums:
            return {"ETag": part}
        etag, _, checksum = part.rpartition(" ")
        return {"ETag": etag, "ChecksumCRC32": checksum}

    async def _change(self, request: Changing, condition: Mapping[str, str], **arguments: Any) -> Mapping[str, Any]:
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


def _crc32(data: Body) -> int:
    crc = 0
    for piece in data:
        crc = zlib.crc32(piece, crc)
    return crc


def _condition(expected: Seen) -> Mapping[str, str]:
    if expected is HIDDEN:
        return {}
    return {"IfNoneMatch": "*"} if expected is NOTHING else {"IfMatch": expected.etag}
