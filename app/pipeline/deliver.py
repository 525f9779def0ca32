"""Source, format and destination of one run, put together from its row."""

from collections.abc import Awaitable, Callable
from typing import Any, Literal

from app import destinations
from app.db.engine import DATABASE_ERRORS
from app.destinations.base import Destination, Target, Written
from app.destinations.proposal import Linked
from app.errors import Misconfigured, SetupError, Transient, Unsupported
from app.exports.facts import open_linked
from app.exports.repository import ExportRepository
from app.formats import FORMATS
from app.formats.base import Format, encode_files
from app.models import Model, SelectBy
from app.network import Network
from app.runs.claims import Claim
from app.runtime import Runtime
from app.sources.base import EventQuery
from app.streams import Batches, Chunks, Encode, prefetch, rechunk

BYTES_PER_MB = 1_000_000
SELECTING: dict[str, Literal["ingested_at", "timestamp"]] = {
    SelectBy.INGESTED_AT: "ingested_at",
    SelectBy.TIMESTAMP: "timestamp",
}


async def deliver(runtime: Runtime, claim: Claim, fence: Callable[[], Awaitable[None]]) -> Written:
    """Move a claimed run's rows to its destination. The destination pulls; nothing here holds more than a few batches.

    :raises app.errors.RunError: whatever goes wrong, in the run's terms.
    :raises app.errors.LeaseLost: by way of ``fence``, when the run is no longer this attempt's.
    """
    destination = await _open_destination(runtime, claim)
    query = EventQuery(
        project_id=claim.project_id,
        model=claim.model,
        start=claim.start,
        end=claim.end,
        select_by=SELECTING[claim.select_by],
        columns=tuple(destination.columns),
        include_events=tuple(destination.config.include_events or ()),
        exclude_events=tuple(destination.config.exclude_events or ()),
    )
    files = _file_arguments(destination, runtime, query)
    batches = rechunk(prefetch(runtime.source.read(query)), _batch_bytes(runtime, destination))
    target = Target(
        table=claim.model,
        start=claim.start,
        end=claim.end,
        run_id=claim.run_id,
        epoch=claim.epoch,
        fence=fence,
        **files,
    )
    return await destination.write(batches, target)


async def _open_destination(runtime: Runtime, claim: Claim) -> Destination:
    if claim.model != Model.EVENTS:
        raise Unsupported(f"this version exports the events model only, not {claim.model}")
    kind = destinations.DESTINATIONS.get(claim.destination_type)
    if kind is None or not kind.delivers:
        raise Unsupported(f"this version cannot deliver to {claim.destination_type} yet")
    try:
        document = runtime.cipher.open(claim.destination_config)
        integration = await _integration(runtime, claim) if kind.takes is not None else None
    except SetupError as error:
        raise Misconfigured(str(error)) from None
    try:
        return destinations.build(claim.destination_type, document, Network.of(runtime.settings), integration)
    except ValueError:
        # Written by another version, which knew other rules. What is wrong with it is not told: it holds secrets.
        raise Misconfigured(
            f"the stored config of this {claim.destination_type} export is not valid in this version; save it anew"
        ) from None


async def _integration(runtime: Runtime, claim: Claim) -> Linked | None:
    """:raises Transient: while the database is away."""
    try:
        async with runtime.sessions() as session:
            found = await ExportRepository(session).integration(claim.export_id)
    except DATABASE_ERRORS as error:
        raise Transient(f"the service's own database does not answer ({type(error).__name__})") from None
    return open_linked(found, runtime.cipher) if found is not None else None


def _batch_bytes(runtime: Runtime, destination: Destination) -> int:
    """A file exceeds its size by at most one batch: where files are small, batches are a tenth of one."""
    most = runtime.settings.batch_bytes
    max_mb = getattr(destination.config, "max_file_size_mb", None)
    return min(most, max_mb * BYTES_PER_MB // 10) if max_mb is not None else most


def _file_arguments(destination: Destination, runtime: Runtime, query: EventQuery) -> dict[str, Any]:
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
    max_bytes = config.max_file_size_mb * BYTES_PER_MB if config.max_file_size_mb is not None else None

    def encode(batches: Batches) -> Chunks:
        return encode_files(batches, fmt, schema, config.compression, max_bytes)

    encoder: Encode = encode
    return {"encode": encoder, "extension": file_extension(fmt, config.compression, config.legacy_parquet_extension)}


def file_extension(fmt: Format, compression: str | None, legacy_parquet: bool) -> str:
    """``jsonl.gz``, ``parquet``: the codec is named, except in Parquet, which names it inside (section 10.1)."""
    if compression is None or (fmt.name == "Parquet" and not legacy_parquet):
        return fmt.extension
    return f"{fmt.extension}.{fmt.suffixes[compression]}"
