"""The S3 family: one write, all of it or nothing."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Iterable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, ClassVar

from botocore.exceptions import BotoCoreError

from app.destinations.base import Destination, Target, Written, WrittenFile
from app.destinations.columns import FILE_COLUMNS
from app.destinations.keys import manifest_key, object_key, render_prefix
from app.destinations.proposal import Linked, Proposal, overlay
from app.destinations.s3.client import Connection, create_arguments, open_client
from app.destinations.s3.config import BucketConfig, settle_bucket
from app.destinations.s3.errors import as_run_error, unusable, where
from app.destinations.s3.upload import CLEAN_UP_LIMIT, Bucket, Upload
from app.errors import LeaseLost, Misconfigured, Unsupported
from app.network import AddressRefused, Network
from app.streams import Batches, see_through


class Bucketed(Destination):
    """What the types of the family have in common."""

    secrets: ClassVar[frozenset[str]] = frozenset({"aws_access_key_id", "aws_secret_access_key"})
    formats: ClassVar[Sequence[str]] = ("JSONLines", "Parquet")
    columns: ClassVar[Sequence[str]] = FILE_COLUMNS

    def __init__(self, config: BucketConfig, network: Network) -> None:
        super().__init__(config, network)
        self.connection = Connection.of(config.model_dump())
        self._where = where(config.bucket_name, self.connection.endpoint_url)

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

    async def write(self, batches: Batches, target: Target) -> Written:
        async with aclosing(batches), self._bucket(target) as bucket:
            uploads: list[Upload] = []
            try:
                await self._send(batches, target, bucket, uploads)
                await target.fence()
            except BaseException as error:
                await _clean_up(upload.abort() for upload in uploads)
                raise self._run_error(error) from None
            if uploads:
                await self._commit(target, bucket, uploads)
            return Written(
                rows=sum(upload.rows for upload in uploads),
                bytes=sum(upload.bytes for upload in uploads),
                files=tuple(WrittenFile(upload.key, upload.rows, upload.bytes) for upload in uploads),
            )

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
            if uploads:
                await uploads[-1].send_rest(alone=True)

    async def _commit(self, target: Target, bucket: Bucket, uploads: Sequence[Upload]) -> None:
        """Make every file visible, and the manifest last. All or nothing, as far as a store allows."""
        manifest = self._manifest(target, bucket, uploads)
        try:
            for upload in (*uploads, *manifest):
                # Never cut off half-way: what the store makes of a request that was broken off, nobody would know.
                await see_through(upload.commit(), CLEAN_UP_LIMIT)
        except BaseException as error:
            # Only while the run is still ours: after that the same keys may be another attempt's good objects.
            if await see_through(_still_ours(target)):
                await _clean_up(upload.retract() for upload in manifest)
                await _clean_up(upload.retract() for upload in uploads)
            await _clean_up(upload.abort() for upload in uploads)
            raise self._run_error(error) from None

    def _manifest(self, target: Target, bucket: Bucket, uploads: Sequence[Upload]) -> Sequence[Upload]:
        if self.config.max_file_size_mb is None:
            return ()
        document = json.dumps({"files": [upload.key for upload in uploads]}).encode()
        key = manifest_key(self._prefix(target), target.start, target.end)
        return (Upload.of_whole(bucket, key, document),)

    def _prefix(self, target: Target) -> str:
        return render_prefix(self.config.prefix, target.table, target.start, target.end)

    def _key(self, target: Target, file: int) -> str:
        number = file if self.config.max_file_size_mb is not None else None
        return object_key(self._prefix(target), target.start, target.end, target.extension, number)

    @asynccontextmanager
    async def _bucket(self, target: Target) -> AsyncIterator[Bucket]:
        opening = open_client(self.connection, self.network)
        try:
            client = await opening.__aenter__()
        except AddressRefused as error:
            raise as_run_error(error, self._where) from None
        except (BotoCoreError, ValueError) as error:
            raise unusable(self._where, error) from None
        try:
            attempt = f"{target.run_id}/{target.epoch}"
            yield Bucket(client, self.config.bucket_name, create_arguments(self.config.model_dump()), attempt)
        finally:
            await opening.__aexit__(None, None, None)

    def _run_error(self, error: BaseException) -> BaseException:
        """The error to raise: the first of a group, in the run's terms. What ends the attempt, and what nobody
        foresaw, as it is: the traceback of that is wanted."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, LeaseLost) or not isinstance(error, Exception):
            return error
        return as_run_error(error, self._where)


async def _still_ours(target: Target) -> bool:
    try:
        async with asyncio.timeout(CLEAN_UP_LIMIT):
            await target.fence()
    except Exception:
        return False  # lost, or not to be known just now, which is the same
    return True


async def _clean_up(actions: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Do all of it, in its own time: neither errors nor another cancellation may stop the rest."""

    async def one(action: Coroutine[Any, Any, None]) -> None:
        with suppress(Exception):
            await action

    async def all_of_it() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLEAN_UP_LIMIT):
                await asyncio.gather(*(one(action) for action in actions))

    await see_through(all_of_it())
