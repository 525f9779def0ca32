"""What all destinations that store files agree on: the formats and compressions there are, and how files are named."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from posixpath import normpath
from typing import Any, Final

from app.destinations.base import DestinationConfig
from app.destinations.hive import LONGEST_WHOLE
from app.destinations.keys import Names, row_variables
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
LONGEST_PARTITION: Final = (("event", "x" * (LONGEST_WHOLE + 1)), ("date", "-32767-01-01"))
MANY_FILES: Final = 99_999
LONGEST_CODEC: Final[Mapping[str, str]] = {"JSONLines": ".gz", "Parquet": ".zst"}

ROW_COLUMNS: Final[Mapping[str, Mapping[str, str]]] = {
    "events": {"event": "event", "date": "timestamp"},
    "sessions": {"date": "start_timestamp"},
}
"""By model, which column a prefix's variables of rows are made of. Persons have none of them."""


class FilesConfig(DestinationConfig):
    """What every destination's config has that stores files."""

    compression: str | None = None
    file_format: str = DEFAULT_FORMAT
    max_file_size_mb: int | None = None
    legacy_parquet_extension: bool = False
    partition_rows: bool = False
    """``prefix`` may name variables of the rows. Beyond the contract: without it they are taken literally."""


def settle_files(config: dict[str, Any], stored: Mapping[str, Any] | None) -> dict[str, Any]:
    """The config as it is to be stored, held to all the rules below.

    :raises ValidationFailed: for the first that is broken.
    """
    check_format(config)
    check_file_size(config)
    check_partitions(config)
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


def check_partitions(config: Mapping[str, Any]) -> None:
    """:raises ValidationFailed: for a prefix that partitions nothing though ``partition_rows`` is set, and for one in
    which two partitions could have the same name."""
    if not config.get("partition_rows"):
        return
    names = _sample_names(config)
    if not names.variables:
        raise refuse(
            "'partition_rows' is set, so 'prefix' must name {event} or {date}, as 'exports/event={event}/date={date}', "
            "and nothing in braces that is no variable"
        )
    if any("/" not in between for between in names.texts[1:-1]):
        raise refuse("'prefix' names two variables of rows in one folder; put a '/' between them")


def partition_columns(config: Mapping[str, Any], model: str, columns: Collection[str]) -> Mapping[str, str]:
    """Of what columns of the model the keys' partitions are made, by variable; none: they are not partitioned.

    ``columns`` are those that an export of it has as they are.

    :raises ValidationFailed: where it lacks one.
    """
    variables = row_variables(config.get("prefix", "")) if config.get("partition_rows") else ()
    known = ROW_COLUMNS.get(model, {})
    for name in variables:
        if name not in known:
            others = " and ".join(f"{{{other}}}" for other in known)
            advice = f"it may name {others} of them" if known else "set 'partition_rows' to false"
            raise refuse(f"'prefix' names {{{name}}}, which {model} do not have; {advice}")
        if known[name] not in columns:
            raise refuse(
                f"'prefix' names {{{name}}}, which is made of the column '{known[name]}', and 'hogql_query' leaves "
                "that out; select it, under any name"
            )
    return {name: known[name] for name in variables}


def check_prefix(config: Mapping[str, Any]) -> None:
    """Refuse prefixes under which nothing could ever be stored. What some store takes passes: no two windows share a
    key whatever the prefix, for the name behind it says which window it is.

    :raises ValidationFailed: for one that makes keys too long, and for one that leads out of the bucket.
    """
    names = _sample_names(config)
    keys = [names.file(MANY_FILES, LONGEST_PARTITION), *([names.manifest] if names.numbered else [])]
    key = max(keys, key=lambda key: len(key.encode()))
    if (length := len(key.encode())) > MAX_KEY_BYTES:
        raise refuse(
            f"'prefix' is too long: it makes object keys of {length} bytes, and stores take {MAX_KEY_BYTES} at most"
        )
    if _climbs_out(key):
        raise refuse(
            f"'prefix' leads out of the bucket: stores refuse the key '{key}', or take it for "
            f"'{normpath('/' + key)[1:]}'. Leave out '..'"
        )


def _sample_names(config: Mapping[str, Any]) -> Names:
    """Of a window like all others, with the longest ending that files in the config's format may have."""
    parquet = config.get("file_format") == "Parquet"
    named = config.get("compression") is not None and (not parquet or config.get("legacy_parquet_extension"))
    extension = "parquet" if parquet else "jsonl"
    return Names.of(
        config.get("prefix", ""),
        SAMPLE_TABLE,
        SAMPLE_START,
        SAMPLE_END,
        extension + (LONGEST_CODEC["Parquet" if parquet else "JSONLines"] if named else ""),
        numbered=config.get("max_file_size_mb") is not None,
        partitioned=bool(config.get("partition_rows")),
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
