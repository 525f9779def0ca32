"""What lies in a bucket already: looked for, read back, deleted."""

import asyncio
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from botocore.exceptions import ClientError

from app.destinations.base import Fetched, Target
from app.destinations.keys import names, render_prefix, stem
from app.destinations.s3.bucket import NOTHING, Bucket, value_of
from app.destinations.s3.errors import LOST, as_run_error, is_denied, is_gone

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client  # stubs: no part of an installation

READ_BYTES: Final = 1024 * 1024


class StoredObjects:
    """What :class:`app.destinations.base.Stored` asks for."""

    def __init__(self, client: "S3Client", bucket: str, prefix: str, where: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix
        self._where = where

    async def fetch(self, key: str, path: Path) -> Fetched | None:
        try:
            answer = await self._client.get_object(Bucket=self._bucket, Key=key)
            digest, size = hashlib.sha256(), 0
            with path.open("wb") as file:
                while data := await answer["Body"].read(READ_BYTES):
                    size += len(data)
                    await asyncio.to_thread(file.write, data)
                    await asyncio.to_thread(digest.update, data)
        except LOST as error:
            if is_gone(error):
                return None
            raise as_run_error(error, self._where) from None
        return Fetched(size, digest.hexdigest())

    async def keys(self, target: Target) -> Sequence[str] | None:
        prefix = render_prefix(self._prefix, target.table, target.start, target.end)
        beginning = stem(prefix, target.start, target.end)
        own = names(prefix, target.start, target.end, target.extension)
        found: list[str] = []
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=beginning)
        try:
            async for page in pages:
                found += [item["Key"] for item in page.get("Contents", []) if own.fullmatch(item["Key"])]
        except LOST as error:
            if is_denied(error):
                return None
            raise as_run_error(error, self._where) from None
        return found


async def see_that_it_answers(bucket: Bucket, beginning: str) -> None:
    """See, in one request that changes nothing, that the bucket is there and knows the credentials.

    Those that may write only may not list; that the store says so, and not that it does not know them, is enough.
    """
    try:
        answer = await bucket.client.list_objects_v2(Bucket=bucket.name, Prefix=beginning, MaxKeys=1)
    except ClientError as error:
        if not is_denied(error):
            raise
    else:
        value_of(answer, "Name")


async def discard(bucket: Bucket, keys: Sequence[str], attempt: str = "") -> None:
    """Delete objects, as long as they stay as they are found; only those of one attempt or run, if one is named."""
    for key in keys:
        seen = await bucket.look(key)
        if seen is not NOTHING and (not attempt or seen.is_of(attempt)):
            await bucket.delete(key, seen)
