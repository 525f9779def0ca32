"""Source, format and destination of one run, put together from its row."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from app.destinations.base import Destination, Fence, Target, Written
from app.errors import Throttled, Unsupported
from app.formats import FORMATS
from app.formats.base import Format, encode_files
from app.pipeline.clean import Cleaner
from app.pipeline.opening import open_destination, query_of
from app.pipeline.partitions import partitioned
from app.runs.claim import Claim
from app.runtime import Runtime
from app.sources.base import EventQuery
from app.streams import Batches, Chunks, Cut, Encode, prefetch, rechunk

READ_AHEAD: Final = 16 * 1024 * 1024
"""Bytes, so that the source goes on while a file is encoded. Counted by size: a single row may be as large."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """What an attempt brought to the destination."""

    written: Written
    sanitised: int = 0
    """Rows whose JSON held what no reader can read, and were exported without it."""


async def deliver(runtime: Runtime, claim: Claim, fence: Fence) -> Delivered:
    """Move a claimed run's rows to its destination. The destination pulls; nothing here holds more than a few batches.

    :raises app.errors.RunError: whatever goes wrong, in the run's terms.
    :raises app.errors.LeaseLost: by way of ``fence``, when the run is no longer this attempt's.
    """
    destination = await open_destination(runtime, claim)
    query, cutter = partitioned(query_of(claim, destination), destination)
    files = _file_arguments(destination, runtime, query, cutter)
    await runtime.source.settle(query, runtime.settings.late_commit_wait)
    cleaner = Cleaner()
    batches = cleaner.clean(runtime.source.read(query))
    batches = rechunk(prefetch(batches, READ_AHEAD, lambda batch: batch.nbytes), _batch_bytes(runtime, destination))
    target = Target(
        table=claim.model,
        start=claim.start,
        end=claim.end,
        run_id=claim.run_id,
        epoch=claim.epoch,
        gently=claim.error_class == Throttled.error_class,
        fence=fence,
        **files,
    )
    written = await destination.write(batches, target)
    return Delivered(written, cleaner.rows)


async def discard(runtime: Runtime, claim: Claim, written: Written) -> None:
    """Delete what a delivery has made visible.

    :raises app.errors.RunError: when that cannot be done.
    """
    files = [*written.files, *([written.manifest] if written.manifest is not None else [])]
    destination = await open_destination(runtime, claim)
    await destination.discard([file.key for file in files], f"{claim.run_id}/{claim.epoch}")


def _batch_bytes(runtime: Runtime, destination: Destination) -> int:
    """A file exceeds its size by at most one batch: where files are small, batches are a tenth of one."""
    most = runtime.settings.batch_bytes
    return most if destination.max_file_bytes is None else min(most, destination.max_file_bytes // 10)


def _file_arguments(
    destination: Destination, runtime: Runtime, query: EventQuery, cutter: Callable[[], Cut]
) -> dict[str, Any]:
    """``encode`` and ``extension`` of a target, for destinations that store files."""
    if not destination.formats:
        return {}
    config = destination.config
    fmt = FORMATS.get(config.file_format)
    if fmt is None:
        raise Unsupported(f"this version cannot write {config.file_format} files")
    if config.compression is not None and config.compression not in fmt.compressions:
        raise Unsupported(f"this version cannot compress {fmt.name} files with {config.compression}")
    schema = runtime.source.schema(query)
    max_bytes = destination.max_file_bytes

    def encode(batches: Batches) -> Chunks:
        return encode_files(batches, fmt, schema, config.compression, max_bytes, cutter())

    encoder: Encode = encode
    return {"encode": encoder, "extension": file_extension(fmt, config.compression, config.legacy_parquet_extension)}


def file_extension(fmt: Format, compression: str | None, legacy_parquet: bool) -> str:
    """``jsonl.gz``, ``parquet``: the codec is named, except in Parquet, which names it inside (section 10.1)."""
    if compression is None or (fmt.name == "Parquet" and not legacy_parquet):
        return fmt.extension
    return f"{fmt.extension}.{fmt.suffixes[compression]}"
