"""What all destinations that store files agree on: the formats and compressions there are, and how files are named."""

from collections.abc import Mapping
from datetime import UTC, datetime
from posixpath import normpath
from typing import Any, Final

from app.destinations.base import DestinationConfig
from app.destinations.keys import manifest_key, object_key, render_prefix
from app.destinations.proposal import refuse

FORMAT_COMPRESSIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "Parquet": ("zstd", "lz4", "snappy", "gzip", "brotli"),
    "JSONLines": ("gzip", "brotli"),
}
"""The contract's matrix (section 10.1). None is always allowed."""
DEFAULT_FORMAT: Final = "JSONLines"
BYTES_PER_MB: Final = 1_000_000
"""Of ``max_file_size_mb``."""
MAX_KEY_BYTES: Final = 1024
"""In UTF-8: what S3 takes, and others with it."""
SAMPLE_TABLE: Final = "events"
SAMPLE_START: Final = datetime(2026, 1, 1, tzinfo=UTC)
SAMPLE_END: Final = datetime(2026, 1, 2, tzinfo=UTC)
"""All windows are printed as long as this one, but for those from the beginning of time."""


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


def check_prefix(config: Mapping[str, Any]) -> None:
    """Refuse prefixes under which nothing could ever be stored. What some store takes passes: no two windows share a
    key whatever the prefix, for the name behind it says which window it is.

    :raises ValidationFailed: for one that makes keys too long, and for one that leads out of the bucket.
    """
    prefix = render_prefix(config["prefix"], SAMPLE_TABLE, SAMPLE_START, SAMPLE_END)
    extension = "parquet" if config.get("file_format") == "Parquet" else "jsonl"
    if config.get("max_file_size_mb") is None:
        key = object_key(prefix, SAMPLE_START, SAMPLE_END, extension)
    else:
        key = manifest_key(prefix, SAMPLE_START, SAMPLE_END)
    if (length := len(key.encode())) > MAX_KEY_BYTES:
        raise refuse(
            f"'prefix' is too long: it makes object keys of {length} bytes, and stores take {MAX_KEY_BYTES} at most"
        )
    if _climbs_out(key):
        raise refuse(
            f"'prefix' leads out of the bucket: stores refuse the key '{key}', or take it for "
            f"'{normpath('/' + key)[1:]}'. Leave out '..'"
        )


def _climbs_out(key: str) -> bool:
    """Whether, read from the left, there is ever more going up than down."""
    depth = 0
    for segment in key.split("/"):
        depth += {"..": -1, ".": 0, "": 0}.get(segment, 1)
        if depth < 0:
            return True
    return False


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
