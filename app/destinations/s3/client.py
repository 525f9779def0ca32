"""The S3 client of one write."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Final

from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession, get_session
from types_aiobotocore_s3 import S3Client

from app.destinations.s3.config import S3CompatibleConfig, S3Config

MAX_RETRIES: Final = 5
"""Of one request, by the client itself, with its backoff (the contract's section 10.1)."""


@asynccontextmanager
async def open_client(config: S3CompatibleConfig) -> AsyncIterator[S3Client]:
    """:raises ValueError, botocore.exceptions.BotoCoreError: for settings with which no request can be made."""
    client = _session().create_client(
        "s3",
        region_name=config.region,
        endpoint_url=config.endpoint_url,
        aws_access_key_id=config.aws_access_key_id,
        aws_secret_access_key=config.aws_secret_access_key,
        config=_client_config(config),
    )
    async with client as opened:
        yield opened


def create_arguments(config: S3CompatibleConfig) -> dict[str, Any]:
    """What every object is created with, besides its name and contents."""
    if not isinstance(config, S3Config) or config.encryption is None:
        return {}
    arguments = {"ServerSideEncryption": config.encryption}
    if config.kms_key_id is not None:
        arguments["SSEKMSKeyId"] = config.kms_key_id
    return arguments


@cache
def _session() -> AioSession:
    """Shared by all writes, for it keeps the description of the service: parsing that anew for each would hold up the
    event loop for a tenth of a second."""
    return get_session()


def _client_config(config: S3CompatibleConfig) -> AioConfig:
    # A store of one's own seldom has a DNS name per bucket; Amazon has, and the SDK knows when to use it.
    usual = "path" if config.endpoint_url else "auto"
    return AioConfig(
        connect_timeout=5,
        read_timeout=60,
        retries={"mode": "standard", "max_attempts": MAX_RETRIES},
        s3={"addressing_style": "virtual" if config.use_virtual_style_addressing else usual},
        # The SDK's newer default sends trailing checksums, which many compatible stores refuse.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
