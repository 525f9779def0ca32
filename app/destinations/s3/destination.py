"""The S3 family: configs, their rules, and one write."""

import asyncio
import json
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from typing import Any, ClassVar, Final, TypeVar
from urllib.parse import urlsplit

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, ClientError
from types_aiobotocore_s3 import S3Client

from app.destinations.base import DestinationConfig, Target, Written, WrittenFile, refuse
from app.destinations.columns import FILE_COLUMNS
from app.destinations.files import DEFAULT_FORMAT, check_file_size, check_format, settle_legacy_extension
from app.destinations.keys import manifest_key, object_key, render_prefix
from app.destinations.s3.errors import as_run_error
from app.destinations.s3.upload import Bucket, Upload
from app.errors import LeaseLost
from app.streams import Batches

T = TypeVar("T")

ENCRYPTIONS: Final = ("AES256", "aws:kms")
CLEAN_UP_LIMIT: Final = 20.0
"""Seconds that cleaning up after a failed write may take. What is left then is an unlisted upload."""


class S3CompatibleConfig(DestinationConfig):
    bucket_name: str
    region: str
    prefix: str
    aws_access_key_id: str
    aws_secret_access_key: str
    compression: str | None = None
    endpoint_url: str | None = None
    file_format: str = DEFAULT_FORMAT
    max_file_size_mb: int | None = None
    use_virtual_style_addressing: bool = False
    legacy_parquet_extension: bool = False

    def __repr__(self) -> str:
        """Without the credentials, wherever it may be printed."""
        return f"{type(self).__name__}(bucket_name={self.bucket_name!r})"

    __str__ = __repr__


class S3Config(S3CompatibleConfig):
    encryption: str | None = None
    kms_key_id: str | None = None


class S3Compatible:
    name: ClassVar[str] = "S3Compatible"
    config_model: ClassVar[type[DestinationConfig]] = S3CompatibleConfig
    secrets: ClassVar[frozenset[str]] = frozenset({"aws_access_key_id", "aws_secret_access_key"})
    formats: ClassVar[Sequence[str]] = ("JSONLines", "Parquet")
    columns: ClassVar[Sequence[str]] = FILE_COLUMNS

    def __init__(self, config: S3CompatibleConfig) -> None:
        self.config = config

    @classmethod
    def validate(cls, config: dict[str, Any], stored: Mapping[str, Any] | None) -> dict[str, Any]:
        required = ("bucket_name", "region", "prefix", "aws_access_key_id", "aws_secret_access_key")
        empty = [key for key in required if not str(config.get(key, "")).strip()]
        if empty:
            raise refuse(f"The following inputs are empty: {empty}")
        config = {**config, "endpoint_url": config["endpoint_url"] or None} if "endpoint_url" in config else config
        if (endpoint := config.get("endpoint_url")) is not None and not _is_endpoint(endpoint):
            raise refuse(f"Invalid endpoint_url: '{endpoint}'")
        check_format(config)
        check_file_size(config)
        if (encryption := config.get("encryption")) is not None and encryption not in ENCRYPTIONS:
            raise refuse(f"Encryption {encryption} is not supported. Supported encryptions are {list(ENCRYPTIONS)}")
        return settle_legacy_extension(config, stored)

    async def write(self, batches: Batches, target: Target) -> Written:
        async with self._bucket(target) as bucket:
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
        begun = 0
        try:
            for upload in uploads:
                begun += 1
                await upload.commit()
            if self.config.max_file_size_mb is not None:
                manifest = {"files": [upload.key for upload in uploads]}
                key = manifest_key(self._prefix(target), target.start, target.end)
                await bucket.client.put_object(**bucket.create_arguments(key), Body=json.dumps(manifest).encode())
        except BaseException as error:
            # Only while the run is still ours: after that the same keys may be another attempt's good objects.
            if await _still_ours(target):
                await _clean_up(upload.delete() for upload in uploads[:begun])
            await _clean_up(upload.abort() for upload in uploads)
            raise self._run_error(error) from None

    def _prefix(self, target: Target) -> str:
        return render_prefix(self.config.prefix, target.table, target.start, target.end)

    def _key(self, target: Target, file: int) -> str:
        number = file if self.config.max_file_size_mb is not None else None
        return object_key(self._prefix(target), target.start, target.end, target.extension, number)

    @asynccontextmanager
    async def _bucket(self, target: Target) -> AsyncIterator[Bucket]:
        config = self.config
        try:
            client = get_session().create_client(
                "s3",
                region_name=config.region,
                endpoint_url=config.endpoint_url,
                aws_access_key_id=config.aws_access_key_id,
                aws_secret_access_key=config.aws_secret_access_key,
                config=_client_config(config),
            )
            opened: S3Client = await client.__aenter__()
        except (BotoCoreError, ValueError) as error:
            raise self._run_error(error) from None
        try:
            yield Bucket(opened, config.bucket_name, self._extra(), attempt=f"{target.run_id}/{target.epoch}")
        finally:
            await client.__aexit__(None, None, None)

    def _extra(self) -> dict[str, Any]:
        if not isinstance(self.config, S3Config) or self.config.encryption is None:
            return {}
        extra = {"ServerSideEncryption": self.config.encryption}
        if self.config.kms_key_id is not None:
            extra["SSEKMSKeyId"] = self.config.kms_key_id
        return extra

    def _run_error(self, error: BaseException) -> BaseException:
        """The error to raise: the first real one of a group, in the run's terms; what ends the attempt as it is."""
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        if isinstance(error, LeaseLost) or not isinstance(error, Exception):
            return error
        return as_run_error(error, self.config.bucket_name, self.config.endpoint_url)


class S3(S3Compatible):
    name: ClassVar[str] = "S3"
    config_model: ClassVar[type[DestinationConfig]] = S3Config


def _client_config(config: S3CompatibleConfig) -> AioConfig:
    # A store of one's own seldom has a DNS name per bucket; Amazon has, and the SDK knows when to use it.
    usual = "path" if config.endpoint_url else "auto"
    return AioConfig(
        connect_timeout=5,
        read_timeout=60,
        retries={"mode": "standard", "max_attempts": 4},
        s3={"addressing_style": "virtual" if config.use_virtual_style_addressing else usual},
        # The SDK's newer default sends trailing checksums, which many compatible stores refuse.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )


def _is_endpoint(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False


async def _still_ours(target: Target) -> bool:
    try:
        await asyncio.shield(target.fence())
    except Exception:
        return False  # lost, or not to be known just now, which is the same
    return True


async def _clean_up(actions: Any) -> None:
    """Do all of it, in its own time: neither errors nor a second cancellation may stop the rest."""

    async def one(action: Coroutine[Any, Any, None]) -> None:
        with suppress(ClientError, BotoCoreError, OSError, TimeoutError):
            await action

    async def all_of_it() -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLEAN_UP_LIMIT):
                await asyncio.gather(*(one(action) for action in actions))

    await asyncio.shield(asyncio.ensure_future(all_of_it()))
