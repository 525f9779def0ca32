"""What all destinations that store files agree on: the formats and compressions there are, and how files are named."""

from collections.abc import Mapping
from typing import Any, Final

from app.destinations.base import DestinationConfig
from app.destinations.proposal import refuse

FORMAT_COMPRESSIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "Parquet": ("zstd", "lz4", "snappy", "gzip", "brotli"),
    "JSONLines": ("gzip", "brotli"),
}
"""The contract's matrix (section 10.1). None is always allowed."""
DEFAULT_FORMAT: Final = "JSONLines"


class FilesConfig(DestinationConfig):
    """What every destination's config has that stores files."""

    compression: str | None = None
    file_format: str = DEFAULT_FORMAT
    max_file_size_mb: int | None = None
    legacy_parquet_extension: bool = False


def settle_files(config: dict[str, Any], stored: Mapping[str, Any] | None) -> dict[str, Any]:
    """The config as it is to be stored, held to all the rules below.

    :raises ValidationFailed: for the first that is broken.
    """
    check_format(config)
    check_file_size(config)
    return settle_legacy_extension(config, stored)


def check_format(config: Mapping[str, Any]) -> None:
    """:raises ValidationFailed: for a format or compression that is not in the matrix."""
    file_format, compression = config.get("file_format", DEFAULT_FORMAT), config.get("compression")
    if file_format not in FORMAT_COMPRESSIONS:
        raise refuse(
            f"File format {file_format} is not supported. Supported file formats are {list(FORMAT_COMPRESSIONS)}"
        )
    supported = FORMAT_COMPRESSIONS[file_format]
    if compression is not None and compression not in supported:
        raise refuse(
            f"Compression {compression} is not supported for file format {file_format}. "
            f"Supported compressions are {list(supported)}"
        )


def check_file_size(config: Mapping[str, Any]) -> None:
    """:raises ValidationFailed: for a size that no file could have."""
    size = config.get("max_file_size_mb")
    if size is not None and size < 1:
        raise refuse("'max_file_size_mb' must be at least 1, or null for one file of any size")


def settle_legacy_extension(config: dict[str, Any], stored: Mapping[str, Any] | None) -> dict[str, Any]:
    """The config with ``legacy_parquet_extension`` decided: it can be left, and never turned on (section 10.1).

    Exports from before the key existed keep the names they have: with the codec, iff they compress Parquet.
    """
    if stored is None:
        before = False
    else:
        named = stored.get("file_format", DEFAULT_FORMAT) == "Parquet" and stored.get("compression") is not None
        before = bool(stored.get("legacy_parquet_extension", named))
    wanted = config.get("legacy_parquet_extension", before)
    if wanted and not before:
        raise refuse(
            "'legacy_parquet_extension' can only stay on for an export that already writes the compression codec into "
            "its Parquet file names."
        )
    return {**config, "legacy_parquet_extension": wanted}
