"""The S3 family: one write, all of it or nothing."""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Any, ClassVar

from botocore.exceptions import BotoCoreError

from app import failpoints
from app.destinations.base import Destination, Fence, Stored, Target, Written
from app.destinations.columns import FILE_COLUMNS, Columns
from app.destinations.files import BYTES_PER_MB
from app.destinations.keys import manifest_key, names, object_key, render_prefix, stem
from app.destinations.manifest import describe
from app.destinations.proposal import Linked, Proposal, overlay
from app.destinations.s3.bucket import Bucket
from app.destinations.s3.client import Connection, create_arguments, guard, open_client
from app.destinations.s3.commit import Commit, clean_up
from app.destinations.s3.config import BucketConfig, settle_bucket
from app.destinations.s3.errors import as_run_error, location, unusable, where
from app.destinations.s3.stored import StoredObjects, discard, see_that_it_answers
from app.destinations.s3.upload import Upload, largest_file
from app.errors import LeaseLost, Misconfigured, Unsupported
from app.network import AddressRefused, Network
from app.streams import Batches

if TYPE_CHECKING:
    from types_aiobotocore_s3 import S3Client  # stubs: no part of an installation


class Bucketed(Destination):
    """What the types of the family have in common."""

    secrets: ClassVar[frozenset[str]] = frozenset({"aws_access_key_id", "aws_secret_access_key"})
    formats: ClassVar[Sequence[str]] = ("JSONLines", "Parquet")
    columns: ClassVar[Columns] = FILE_COLUMNS

    def __init__(self, config: BucketConfig, network: Network) -> None:
        super().__init__(config, network)
        self.connection = Connection.of(config.model_dump())
        where(config.bucket_name, self.connection.endpoint_url)  # what is no URL is found out here

    @classmethod
    def settle(cls, proposal: Proposal) -> dict[str, Any]:
        return settle_bucket(proposal)

    @classmethod
    def settings(cls, document: Mapping[str, Any], integration: Linked | None) -> dict[str, Any]:
        settings = overlay(document, integration)
        if settings.get("aws_access_key_id") and settings.get("aws_secret_access_key"):
            return settings
        if settings.get("aws_role_arn"):
            raise Unsupported("this version cannot assume AWS roles yet")
        raise Misconfigured("there are no credentials: neither in the config nor in an integration")

    def first_keys(self, target: Target) -> Sequence[str]:
        manifest = [] if self.config.max_file_size_mb is None else [self._manifest_key(target)]
        return [self._key(target, 0), *manifest]

    @property
    def location(self) -> str:
        return location(self.config.bucket_name, self.connection.endpoint_url)

    @property
    def max_file_bytes(self) -> int | None:
        size = self.config.max_file_size_mb
        return min(size * BYTES_PER_MB, largest_file()) if size is not None else None

    async def write(self, batches: Batches, target: Target) -> Written:
        async with aclosing(batches), self._bucket(target) as bucket:
            uploads: list[Upload] = []
            try:
                await self._send(batches, target, bucket, uploads)
                await failpoints.reach(failpoints.ALL_SENT)
                if not uploads:
                    await see_that_it_answers(bucket, self._stem(target))
                manifest = self._manifest(target, bucket, uploads)
                keys = [upload.key for upload in (*uploads, *([manifest] if manifest else []))]
                earlier = await target.fence.announce(self.location, keys)
            except BaseException as error:
                await clean_up(upload.abort() for upload in uploads)
                raise self._run_error(error) from None
            commit = Commit(bucket, target, earlier, uploads, manifest, self._where)
            try:
                await commit.make(self._stem(target), self._names(target))
            except BaseException as error:
                if commit.complete:
                    target.fence.finished(self._written(uploads, manifest, commit))
                raise self._run_error(error) from None
            return self._written(uploads, manifest, commit)

    def _written(self, uploads: Sequence[Upload], manifest: Upload | None, commit: Commit) -> Written:
        return Written(
            rows=sum(upload.rows for upload in uploads),
            bytes=sum(upload.bytes for upload in uploads),
            files=tuple(upload.written for upload in uploads),
            manifest=manifest.written if manifest is not None else None,
            location=self.location,
            undeleted=commit.undeleted,
            undeleted_reason=commit.reason,
        )

    async def discard(self, keys: Sequence[str], attempt: str | None = None) -> None:
        async with self._client() as client:
            bucket = Bucket(client, self.config.bucket_name, {}, attempt="")
            try:
                await discard(bucket, keys, attempt or "")
            except Exception as error:
                raise self._run_error(error) from None

    @asynccontextmanager
    async def stored(self) -> AsyncIterator[Stored]:
        async with self._client() as client:
            yield StoredObjects(client, self.config.bucket_name, self.config.prefix, self._where)

    async def _send(self, batches: Batches, target: Target, bucket: Bucket, uploads: list[Upload]) -> None:
        """Send every file, in parts; none is visible yet."""
        assert target.encode is not None
        async with asyncio.TaskGroup() as parts, aclosing(target.encode(batches)) as chunks:
            async for chunk in chunks:
                if chunk.file == len(uploads):
                    if uploads:
                        await uploads[-1].send_rest(alone=False)
                    uploads.append(Upload(bucket, self._key(target, chunk.file), parts))
                await uploads[chunk.file].add(chunk.data, chunk.rows)
                uploads[chunk.file].end = chunk.end
            if uploads:
                await uploads[-1].send_rest(alone=True)

    def _manifest(self, target: Target, bucket: Bucket, uploads: Sequence[Upload]) -> Upload | None:
        if self.config.max_file_size_mb is None or not uploads:
            return None
        document = describe(target, [upload.written for upload in uploads])
        return Upload.of_whole(bucket, self._manifest_key(target), document)

    def _manifest_key(self, target: Target) -> str:
        return manifest_key(self._prefix(target), target.start, target.end)

    def _prefix(self, target: Target) -> str:
        return render_prefix(self.config.prefix, target.table, target.start, target.end)

    def _stem(self, target: Target) -> str:
        return stem(self._prefix(target), target.start, target.end)

    def _names(self, target: Target) -> "re.Pattern[str]":
        return names(self._prefix(target), target.start, target.end, target.extension)

    def _key(self, target: Target, file: int) -> str:
        number = file if self.config.max_file_size_mb is not None else None
        return object_key(self._prefix(target), target.start, target.end, target.extension, number)

    @asynccontextmanager
    async def _bucket(self, target: Target) -> AsyncIterator[Bucket]:
        async with self._client(target.fence) as client:
            extra = create_arguments(self.config.model_dump())
            bucket = Bucket(client, self.config.bucket_name, extra, f"{target.run_id}/{target.epoch}")
            if target.gently:
                bucket.slots = asyncio.Semaphore(1)
            yield bucket

    @asynccontextmanager
    async def _client(self, fence: Fence | None = None) -> AsyncIterator["S3Client"]:
        opening = open_client(self.connection, self.network)
        try:
            client = await opening.__aenter__()
        except AddressRefused as error:
            raise as_run_error(error, self._where) from None
        except (BotoCoreError, ValueError) as error:
            raise unusable(self._where, error) from None
        try:
            if fence is not None:
                guard(client, fence.check)
            yield client
        finally:
            await opening.__aexit__(None, None, None)

    @property
    def _where(self) -> str:
        return where(self.config.bucket_name, self.connection.endpoint_url)

    def _run_error(self, error: BaseException) -> BaseException:
        """The error to raise: the first of a group, in the run's terms. What ends the attempt, and what nobody
        foresaw, as it is: the traceback of that is wanted."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, LeaseLost) or not isinstance(error, Exception):
            return error
        return as_run_error(error, self._where)
