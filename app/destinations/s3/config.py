"""What an export to the S3 family stores in its config, and the rules across it (the contract's section 10.1)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from app.destinations.files import FilesConfig, check_prefix, settle_files
from app.destinations.proposal import Proposal, overlay, refuse
from app.network import Names

KMS: Final = "aws:kms"
ENCRYPTIONS: Final = ("AES256", KMS)
NEVER_EMPTY: Final = ("bucket_name", "region", "prefix")
CREDENTIALS: Final = ("aws_access_key_id", "aws_secret_access_key")


class BucketConfig(FilesConfig):
    """What the whole family has."""

    bucket_name: str
    region: str
    prefix: str


class AwsS3Config(BucketConfig):
    aws_access_key_id: str | None = None
    aws_secret_access_key: str | None = None
    encryption: str | None = None
    kms_key_id: str | None = None


class S3CompatibleConfig(BucketConfig):
    aws_access_key_id: str | None = None
    aws_secret_access_key: str | None = None
    endpoint_url: str | None = None
    use_virtual_style_addressing: bool = False


class S3Config(BucketConfig):
    aws_access_key_id: str
    aws_secret_access_key: str
    encryption: str | None = None
    kms_key_id: str | None = None
    endpoint_url: str | None = None
    use_virtual_style_addressing: bool = False


def settle_bucket(proposal: Proposal) -> dict[str, Any]:
    """See :meth:`app.destinations.base.Destination.validate`."""
    config = dict(proposal.config)
    _check_empty(config, NEVER_EMPTY if proposal.integration is not None else (*NEVER_EMPTY, *CREDENTIALS))
    if "endpoint_url" in config:
        config["endpoint_url"] = config["endpoint_url"] or None
    endpoint = overlay(config, proposal.integration).get("endpoint_url")
    if endpoint and not _is_endpoint(endpoint, proposal.names):
        raise refuse(f"Invalid endpoint_url: '{endpoint}'")
    if (encryption := config.get("encryption")) is not None and encryption not in ENCRYPTIONS:
        raise refuse(f"Encryption {encryption} is not supported. Supported encryptions are {list(ENCRYPTIONS)}")
    if config.get("kms_key_id") and encryption != KMS:
        raise refuse(f"'kms_key_id' is of use with encryption '{KMS}' only; leave it out, or set that")
    settled = settle_files(config, proposal.stored)
    check_prefix(settled)
    return settled


def _check_empty(config: Mapping[str, Any], keys: Sequence[str]) -> None:
    empty = [key for key in keys if not str(config.get(key, "")).strip()]
    if empty:
        raise refuse(f"The following inputs are empty: {empty}")


def _is_endpoint(url: Any, names: Names) -> bool:
    try:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
            return False
    except (ValueError, TypeError, AttributeError):
        return False
    return names.permits(parts.hostname)
