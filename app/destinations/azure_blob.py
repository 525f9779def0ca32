"""Azure Blob Storage (the contract's section 10.2), at the level of its config; delivery follows."""

from collections.abc import Sequence
from typing import Any, ClassVar

from app.destinations.base import DestinationConfig
from app.destinations.columns import AZURE_COLUMNS, Columns
from app.destinations.files import FilesConfig, settle_files
from app.destinations.proposal import Proposal, Takes
from app.destinations.steps import Step, unbuilt
from app.destinations.undelivered import Undelivered


class AzureBlobConfig(FilesConfig):
    container_name: str
    prefix: str = ""


class AzureBlob(Undelivered):
    """Always with an integration: there never were credentials in its config."""

    name: ClassVar[str] = "AzureBlob"
    config_model: ClassVar[type[DestinationConfig]] = AzureBlobConfig
    formats: ClassVar[Sequence[str]] = ("JSONLines", "Parquet")
    columns: ClassVar[Columns] = AZURE_COLUMNS
    takes: ClassVar[Takes | None] = Takes(
        kind="azure-blob",
        wrong_kind="Integration is not an Azure Blob integration.",
        required="Integration is required for Azure Blob batch exports",
        needs=("connection_string",),
        invalid="Azure Blob integration is not valid: '{key}' missing",
    )
    steps: ClassVar[Sequence[Step]] = (
        unbuilt("Check Azure Blob container exists", "See that the container exists and can be used."),
    )

    @classmethod
    def settle(cls, proposal: Proposal) -> dict[str, Any]:
        return settle_files(dict(proposal.config), proposal.stored)
