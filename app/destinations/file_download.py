"""File downloads (the contract's section 12): objects in the service's own bucket, fetched by signed links.

The bucket is the operator's and comes from settings; what is stored of a download says how its files are written, and
under which prefix. The type that the API shows, :class:`FileDownload`, is none for exports on an interval: nobody could
fetch what such an export writes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, ClassVar, Literal, Protocol, Self
from urllib.parse import urlsplit

import botocore.session
from botocore.config import Config
from pydantic import SecretStr

from app.destinations.base import DestinationConfig
from app.destinations.columns import FILE_COLUMNS, Columns
from app.destinations.files import FilesConfig, settle_files
from app.destinations.keys import join
from app.destinations.proposal import Proposal
from app.destinations.s3.config import S3CompatibleConfig
from app.destinations.s3.destination import Bucketed
from app.destinations.undelivered import Undelivered
from app.network import Network, parse_allowed


class FileDownloadConfig(FilesConfig):
    pass


class FileDownload(Undelivered):
    name: ClassVar[str] = "FileDownload"
    config_model: ClassVar[type[DestinationConfig]] = FileDownloadConfig
    formats: ClassVar[Sequence[str]] = ("JSONLines", "Parquet")
    columns: ClassVar[Columns] = FILE_COLUMNS

    @classmethod
    def settle(cls, proposal: Proposal) -> dict[str, Any]:
        return settle_files(dict(proposal.config), proposal.stored)


class Options(Protocol):
    """The settings that make an :class:`InternalBucket`."""

    @property
    def download_bucket_name(self) -> str | None: ...
    @property
    def download_region(self) -> str: ...
    @property
    def download_endpoint_url(self) -> str | None: ...
    @property
    def download_public_endpoint_url(self) -> str | None: ...
    @property
    def download_access_key_id(self) -> SecretStr | None: ...
    @property
    def download_secret_access_key(self) -> SecretStr | None: ...
    @property
    def download_virtual_style_addressing(self) -> bool: ...
    @property
    def download_prefix(self) -> str: ...


@dataclass(frozen=True, slots=True)
class InternalBucket:
    """Where downloads lie."""

    name: str
    region: str
    endpoint_url: str | None
    public_endpoint_url: str | None
    """Where clients reach it."""
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    virtual_style: bool
    prefix: str

    @classmethod
    def of(cls, options: Options) -> Self | None:
        """None: this installation has none."""
        access_key, secret_key = options.download_access_key_id, options.download_secret_access_key
        if options.download_bucket_name is None or access_key is None or secret_key is None:
            return None
        return cls(
            name=options.download_bucket_name,
            region=options.download_region,
            endpoint_url=options.download_endpoint_url,
            public_endpoint_url=options.download_public_endpoint_url or options.download_endpoint_url,
            access_key=access_key.get_secret_value(),
            secret_key=secret_key.get_secret_value(),
            virtual_style=options.download_virtual_style_addressing,
            prefix=options.download_prefix,
        )

    def prefix_of(self, project_id: int, run_id: object) -> str:
        """No two downloads share a key, nor is one's prefix the beginning of another's."""
        return join(self.prefix, f"{project_id}/{run_id}")

    def settings(self) -> dict[str, Any]:
        """Under the names that configs of the S3 family have."""
        return {
            "bucket_name": self.name,
            "region": self.region,
            "endpoint_url": self.endpoint_url,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "use_virtual_style_addressing": self.virtual_style,
        }

    def reachable(self, network: Network) -> Network:
        """The same rules, and the bucket's own host is allowed by them: the operator has named it, and no user can."""
        host = urlsplit(self.endpoint_url).hostname if self.endpoint_url else None
        if host is None:
            return network
        networks, hosts = parse_allowed([host])
        return replace(network, networks=network.networks + networks, hosts=network.hosts | hosts)

    def link(self, key: str, file_name: str, seconds: int) -> str:
        """A URL that gives the object to whoever has it, for so long, as a file to be saved. Asks nobody; the first one
        of a process takes a moment all the same, so not on the event loop. ``file_name`` is plain ASCII."""
        request = {
            "Bucket": self.name,
            "Key": key,
            "ResponseContentDisposition": f'attachment; filename="{file_name}"',
            "ResponseContentType": "application/octet-stream",
        }
        url: str = _signer(self).generate_presigned_url("get_object", Params=request, ExpiresIn=seconds)
        return url


@cache
def _signer(bucket: InternalBucket) -> Any:
    """Never asked for anything but signatures, which the synchronous client makes without a connection."""
    usual: Literal["path", "auto"] = "path" if bucket.public_endpoint_url else "auto"
    # The fourth version by name: for some regions the SDK would still sign links by the second, which few stores take.
    config = Config(signature_version="s3v4", s3={"addressing_style": "virtual" if bucket.virtual_style else usual})
    return botocore.session.get_session().create_client(
        "s3",
        region_name=bucket.region,
        endpoint_url=bucket.public_endpoint_url,
        aws_access_key_id=bucket.access_key,
        aws_secret_access_key=bucket.secret_key,
        config=config,
    )


class Delivery(Bucketed):
    """The delivery of one download: that of an S3-compatible store, with the operator's bucket for its own."""

    name: ClassVar[str] = FileDownload.name
    config_model: ClassVar[type[DestinationConfig]] = S3CompatibleConfig

    @classmethod
    def into(cls, bucket: InternalBucket, document: Mapping[str, Any], network: Network) -> Self:
        """``document`` is what is stored of the download, its ``prefix`` included.

        :raises ValueError: for one that is none.
        """
        settings = {**document, **bucket.settings()}
        known = {key: value for key, value in settings.items() if key in cls.config_model.by_key()}
        return cls(cls.config_model(**known), bucket.reachable(network))  # type: ignore[arg-type]


def is_download(document: Mapping[str, Any]) -> bool:
    """Whether a stored config is a download's. That of an export on an interval can have no prefix."""
    return "prefix" in document
