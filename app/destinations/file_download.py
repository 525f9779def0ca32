"""File downloads (the contract's section 12), at the level of their config; delivery follows."""

from collections.abc import Sequence
from typing import Any, ClassVar

from app.destinations.base import DestinationConfig
from app.destinations.columns import FILE_COLUMNS, Columns
from app.destinations.files import FilesConfig, settle_files
from app.destinations.proposal import Proposal
from app.destinations.undelivered import Undelivered


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
