"""What an export to the S3 family stores in its config, and the rules across it (the contract's section 10.1)."""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from app.destinations.base import DestinationConfig, refuse
from app.destinations.files import DEFAULT_FORMAT, check_file_size, check_format, settle_legacy_extension

ENCRYPTIONS: Final = ("AES256", "aws:kms")
NEVER_EMPTY: Final = ("bucket_name", "region", "prefix", "aws_access_key_id", "aws_secret_access_key")


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


def validate(config: dict[str, Any], stored: Mapping[str, Any] | None) -> dict[str, Any]:
    """See :meth:`app.destinations.base.Destination.validate`."""
    empty = [key for key in NEVER_EMPTY if not str(config.get(key, "")).strip()]
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


def _is_endpoint(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        return False
