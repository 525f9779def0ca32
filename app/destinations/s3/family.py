"""The types of the S3 family: the same write, with what each has in its config and where its credentials are."""

from collections.abc import Sequence
from typing import ClassVar

from app.destinations.base import DestinationConfig
from app.destinations.proposal import Takes
from app.destinations.s3.config import CREDENTIALS, AwsS3Config, S3CompatibleConfig, S3Config
from app.destinations.s3.destination import Bucketed
from app.destinations.s3.steps import ASSUME_ROLE, BUCKET_EXISTS, WRITE_ACCESS
from app.destinations.steps import Step

STICKY = (
    "Cannot remove the integration from an S3 batch export that uses one. Re-send its `integration` to keep it (or a "
    "different one to swap)."
)


class S3(Bucketed):
    """The first of the family, for Amazon and others: credentials are in its config, and required there."""

    name: ClassVar[str] = "S3"
    config_model: ClassVar[type[DestinationConfig]] = S3Config
    steps: ClassVar[Sequence[Step]] = (BUCKET_EXISTS, WRITE_ACCESS)


class AwsS3(Bucketed):
    """With an integration, or with a pair of access keys in the config. With one key of the pair the other is named as
    missing; with neither, and no integration, the integration is."""

    name: ClassVar[str] = "AwsS3"
    config_model: ClassVar[type[DestinationConfig]] = AwsS3Config
    takes: ClassVar[Takes | None] = Takes(
        kind="aws-s3",
        wrong_kind="Integration provided is not an AWS S3 integration (got kind='{kind}')",
        required="Integration is required for AwsS3 batch exports",
        sticky=STICKY,
    )
    inline: ClassVar[Sequence[str]] = CREDENTIALS
    steps: ClassVar[Sequence[Step]] = (ASSUME_ROLE, BUCKET_EXISTS, WRITE_ACCESS)


class S3Compatible(Bucketed):
    """As :class:`AwsS3`; the endpoint comes with the integration, or is in the config too."""

    name: ClassVar[str] = "S3Compatible"
    config_model: ClassVar[type[DestinationConfig]] = S3CompatibleConfig
    takes: ClassVar[Takes | None] = Takes(
        kind="s3-compatible",
        wrong_kind="Integration provided is not an S3-compatible integration (got kind='{kind}')",
        required="Integration is required for S3Compatible batch exports",
        sticky=STICKY,
    )
    inline: ClassVar[Sequence[str]] = CREDENTIALS
    steps: ClassVar[Sequence[Step]] = (BUCKET_EXISTS, WRITE_ACCESS)
