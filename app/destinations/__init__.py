"""Destinations. A new one is a file here and a line below."""

from collections.abc import Mapping
from typing import Any

from app.destinations.azure_blob import AzureBlob
from app.destinations.base import Destination
from app.destinations.bigquery import BigQuery
from app.destinations.databricks import Databricks
from app.destinations.file_download import FileDownload
from app.destinations.http import HTTP
from app.destinations.noop import NoOp
from app.destinations.postgres import Postgres
from app.destinations.proposal import Linked
from app.destinations.redshift import Redshift
from app.destinations.s3 import S3, AwsS3, S3Compatible
from app.destinations.snowflake import Snowflake
from app.destinations.workflows import Workflows
from app.network import Network

DESTINATIONS: Mapping[str, type[Destination]] = {
    destination.name: destination
    for destination in (
        S3,
        AwsS3,
        S3Compatible,
        Snowflake,
        Postgres,
        Redshift,
        BigQuery,
        Databricks,
        AzureBlob,
        Workflows,
        HTTP,
        NoOp,
        FileDownload,
    )
}
"""By the type the API gives it."""


def build(name: str, document: Mapping[str, Any], network: Network, integration: Linked | None = None) -> Destination:
    """The destination that a stored config describes. Keys it does not know are left aside.

    :raises pydantic.ValidationError: for a document that its rules would not have let pass.
    :raises app.errors.RunError: for settings that no run can use.
    """
    destination = DESTINATIONS[name]
    return destination.of(destination.settings(document, integration), network)
